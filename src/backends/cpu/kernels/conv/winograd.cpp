// SPDX-License-Identifier: Apache-2.0
// 3x3 convolutions with fewer multiplications: 36 products of tiles x channels with transformed weights give 16 pixels a tile, where the
// plain sum takes 144 (F(4x4); F(2x2): 16 for 4 instead of 36). Their weights are larger, 4 times (16 / 9), so it pays where the image
// is large beside the channels.
//
// A task takes as many tiles as fit into the second-level cache with their transforms, and their channels in pieces.
#include "backends/cpu/kernels/conv/winograd.hpp"

#include <array>

#include "backends/cpu/kernels/conv/internal.hpp"

namespace carnot::cpu {

#define CARNOT_DEPTHWISE_KERNEL(isa, name)        \
  namespace name {                                \
  void fill_winograd(WinogradKernels& kernels);   \
  }
#include "backends/cpu/kernels/conv/kernels.inc"
#undef CARNOT_DEPTHWISE_KERNEL

const WinogradKernels& winograd_kernels(Isa isa) {
  static const auto table = [] {
    std::array<WinogradKernels, 3> all{};
#define CARNOT_DEPTHWISE_KERNEL(isa, name) name::fill_winograd(all[static_cast<size_t>(Isa::isa)]);
#include "backends/cpu/kernels/conv/kernels.inc"
#undef CARNOT_DEPTHWISE_KERNEL
    return all;
  }();
  return table[static_cast<size_t>(isa)];
}

namespace {

constexpr int64_t kColumns = 64;    // channels of the output at a time
constexpr int64_t kMostTiles = 512;  // of a task: their pointers live on the stack
constexpr int64_t kGap = 16;        // floats between elements, so that they do not fall on the same lines of a cache

int64_t tile_of(const Conv& c) { return c.way == Conv::Way::kWinograd4 ? 4 : 2; }

// How the tiles of all images are cut into tasks.
struct Cut {
  int64_t m, n, elements;           // sides of a tile of y and of x, n * n
  int64_t rows, cols, tiles;        // tiles of an image, of all
  int64_t channels;                 // of x, rounded up
  int64_t limit, tasks, col_tasks;  // tiles of a task, at most
  Cut(const Conv& c, int threads) {
    m = tile_of(c);
    n = m + 2;
    elements = n * n;
    rows = ceil_div(c.out[1], m);
    cols = ceil_div(c.out[2], m);
    tiles = c.batch * c.out[0] * rows * cols;
    channels = align_floats(c.in_channels);
    const int64_t fit = cpu_features().l2_bytes * 3 / 4 / 4 / (elements * (channels + kColumns));
    limit = std::clamp<int64_t>(c.blocking.rows > 0 ? c.blocking.rows : std::clamp<int64_t>(fit, 14, 112), 1, kMostTiles);
    tasks = std::max<int64_t>(1, ceil_div(tiles, limit));
    // Whole rounds of the pool, unless tasks become too short to share what they read of the weights: then the columns are cut.
    const int64_t whole = ceil_div(tasks, threads) * threads;
    if (tiles >= 8 * whole) tasks = whole;
    col_tasks = tasks >= threads ? 1 : std::clamp<int64_t>(threads / tasks, 1, ceil_div(c.out_channels, kColumns));
    limit = ceil_div(std::max<int64_t>(tiles, 1), tasks);
  }
  int64_t v_stride() const { return limit * channels + kGap; }
  int64_t sum_stride() const { return limit * kColumns + kGap; }
  int64_t worker_floats() const { return elements * (v_stride() + sum_stride()); }
};

struct Place {
  int64_t image, row, col;  // of a tile, in pixels of y
  Place(const Cut& cut, int64_t tile) : image(tile / (cut.rows * cut.cols)), row(tile / cut.cols % cut.rows * cut.m), col(tile % cut.cols * cut.m) {}
};

void transform_input(const Conv& c, const Cut& cut, const Place& at, const float* zeros, float* v, void (*kernel)(const WinogradInput&)) {
  const float* pixels[kWinogradMost];
  const float* image = c.x + at.image * c.in[1] * c.in[2] * c.ldx;
  for (int64_t r = 0, i = 0; r < cut.n; ++r) {
    const int64_t ih = at.row + r - c.pad[1];
    for (int64_t s = 0; s < cut.n; ++s, ++i) {
      const int64_t iw = at.col + s - c.pad[2];
      pixels[i] = ih >= 0 && ih < c.in[1] && iw >= 0 && iw < c.in[2] ? image + (ih * c.in[2] + iw) * c.ldx : zeros;
    }
  }
  kernel({pixels, c.in_channels, v, cut.v_stride()});
}

}  // namespace

bool is_winograd(const Conv& c) {
  if (c.way != Conv::Way::kWinograd2 && c.way != Conv::Way::kWinograd4) return false;
  return c.groups == 1 && c.kernel[0] == 1 && c.stride[0] == 1 && c.pad[0] == 0 && c.kernel[1] == 3 && c.kernel[2] == 3 && c.stride[1] == 1 && c.stride[2] == 1 &&
         c.dilation[1] == 1 && c.dilation[2] == 1;
}

int64_t winograd_weights_size(const Conv& c) { return (tile_of(c) + 2) * (tile_of(c) + 2) * packed_size(c.in_channels, c.out_channels); }

void pack_winograd(const Conv& c, const float* w, float* packed) {
  // Row j of G belongs to the point p_j: (1, p, p^2) / product of its distances to the other points; the last to infinity.
  constexpr double kG2[4][3] = {{-1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
  constexpr double kPoints[5] = {0, 0.75, -0.75, 1.5, -1.5};
  const int64_t n = tile_of(c) + 2;
  double g[6][3] = {};
  for (int64_t j = 0; j < n; ++j)
    for (int i = 0; i < 3; ++i) {
      if (n == 4) {
        g[j][i] = kG2[j][i];
        continue;
      }
      double distances = 1, power = 1;
      for (int64_t k = 0; k < 5; ++k)
        if (j < 5 && k != j) distances *= kPoints[j] - kPoints[k];
      for (int k = 0; k < i; ++k) power *= j < 5 ? kPoints[j] : 0;
      g[j][i] = j < 5 ? power / distances : i == 2 ? 1 : 0;
    }
  const int64_t size = packed_size(c.in_channels, c.out_channels), panels = ceil_div(c.out_channels, kPanel);
  std::fill(packed, packed + n * n * size, 0.f);
  for (int64_t panel = 0; panel < panels; ++panel)
    for (int64_t ic = 0; ic < c.in_channels; ++ic)
      for (int64_t o = 0; o < std::min(kPanel, c.out_channels - panel * kPanel); ++o) {
        const float* from = w + ((panel * kPanel + o) * c.in_channels + ic) * 9;
        float* to = packed + (panel * c.in_channels + ic) * kPanel + o;
        double half[6][3];
        for (int64_t r = 0; r < n; ++r)
          for (int s = 0; s < 3; ++s) half[r][s] = g[r][0] * double(from[s]) + g[r][1] * double(from[3 + s]) + g[r][2] * double(from[6 + s]);
        for (int64_t r = 0; r < n; ++r)
          for (int64_t s = 0; s < n; ++s) to[(r * n + s) * size] = static_cast<float>(half[r][0] * g[s][0] + half[r][1] * g[s][1] + half[r][2] * g[s][2]);
      }
}

int64_t winograd_floats(const Conv& c, int threads) {
  const Cut cut(c, threads);
  return cut.channels + cut.worker_floats() * threads;
}

void run_winograd(const Conv& c, float* scratch, ThreadPool& pool, Isa isa) {
  if (c.batch * volume(c.out) == 0 || c.out_channels == 0) return;
  static constexpr Epilogue kPlain;
  const Cut cut(c, pool.threads());
  const WinogradKernels& kernels = winograd_kernels(isa);
  const auto input = cut.m == 4 ? kernels.input4 : kernels.input2;
  const auto output = cut.m == 4 ? kernels.output4 : kernels.output2;
  float* const zeros = scratch;
  std::fill(zeros, zeros + cut.channels, 0.f);
  const int64_t chunks = ceil_div(c.out_channels, kColumns), weights = packed_size(c.in_channels, c.out_channels);
  const Epilogue& e = c.epilogue;

  pool.parallel_for(cut.tasks * cut.col_tasks, [&](int64_t task, int worker) {
    const int64_t part = task / cut.col_tasks, slice = task % cut.col_tasks;
    const int64_t tile0 = cut.tiles * part / cut.tasks, count = cut.tiles * (part + 1) / cut.tasks - tile0;
    if (count == 0) return;
    float* const v = scratch + cut.channels + worker * cut.worker_floats();
    float* const sums = v + cut.elements * cut.v_stride();
    const float* rows[kMostTiles];
    for (int64_t t = 0; t < count; ++t) {
      rows[t] = v + t * cut.channels;
      transform_input(c, cut, Place(cut, tile0 + t), zeros, v + t * cut.channels, input);
    }
    const int64_t zero_offset = 0;
    for (int64_t chunk = chunks * slice / cut.col_tasks; chunk < chunks * (slice + 1) / cut.col_tasks; ++chunk) {
      const int64_t col = chunk * kColumns, columns = std::min(kColumns, c.out_channels - col);
      for (int64_t element = 0; element < cut.elements; ++element) {
        Block block;
        block.isa = isa;
        block.a = rows;
        block.a_stride = block.rows = count;
        block.a_offset = element * cut.v_stride();
        block.depth = c.in_channels;
        block.b = weights_at(c, element * weights + col * c.in_channels);
        block.b_offsets = &zero_offset;
        block.b_stride = c.in_channels * kPanel;
        block.col1 = columns;
        block.c = sums + element * cut.sum_stride();
        block.ldc = kColumns;
        block.epilogue = &kPlain;
        block.blocking = c.blocking;
        run_block(block);
      }
      for (int64_t t = 0; t < count; ++t) {
        const Place at(cut, tile0 + t);
        const int64_t pixel = (at.image * c.out[1] + at.row) * c.out[2] + at.col;
        WinogradOutput out;
        out.sums = sums + t * kColumns;
        out.sum_stride = cut.sum_stride();
        out.channels = columns;
        out.rows = std::min(cut.m, c.out[1] - at.row);
        out.cols = std::min(cut.m, c.out[2] - at.col);
        out.y = c.y + pixel * c.ldy + col;
        out.ldy = c.ldy;
        out.y_row = c.out[2] * c.ldy;
        out.bias = e.bias ? e.bias + col : nullptr;
        out.residual = e.residual ? e.residual + pixel * e.ld_residual + col : nullptr;
        out.ld_residual = e.ld_residual;
        out.residual_row = c.out[2] * e.ld_residual;
        out.residual_after = e.residual_after;
        out.activation = e.activation;
        out.alpha = e.alpha;
        out.beta = e.beta;
        output(out);
        if (!e.post) continue;
        for (int64_t r = 0; r < out.rows; ++r) e.post(e.post_ctx, out.y + r * out.y_row, c.ldy, pixel + r * c.out[2], out.cols, col, columns);
      }
    }
  });
}

}  // namespace carnot::cpu
