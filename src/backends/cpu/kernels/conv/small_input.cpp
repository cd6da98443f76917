// SPDX-License-Identifier: Apache-2.0
// Convolutions of few input channels (first layers: 7x7 of an image, patch embedding). A tap of three channels is too
// short a sum to pay for its pointers, but with channels last a whole kernel row, width * channels floats, is
// contiguous. So each task copies the input rows that it needs into its scratch, with the padding written out, and
// multiplies row by row.
#include "backends/cpu/kernels/conv/internal.hpp"

namespace carnot::cpu {
namespace {

constexpr int64_t kPointerFloats = sizeof(const float*) / sizeof(float);

// A task computes `rows` rows of the output of one image and depth.
struct Band {
  int64_t rows, in_rows, in_width, row_floats, kernel_rows;
  Band(const Conv& c, int threads) {
    const int64_t all = c.batch * c.out[0] * c.out[1];
    // About 300 pixels, but enough tasks for all threads; whole rounds of the pool matter less for so many tasks.
    const int64_t pixels = c.blocking.rows > 0 ? c.blocking.rows : 300;
    rows = std::clamp<int64_t>(ceil_div(pixels, std::max<int64_t>(c.out[2], 1)), 1,
                               std::max<int64_t>(1, ceil_div(all, 2 * threads)));
    rows = std::min(rows, std::max<int64_t>(c.out[1], 1));
    in_rows = (rows - 1) * c.stride[1] + (c.kernel[1] - 1) * c.dilation[1] + 1;
    in_width = (c.out[2] - 1) * c.stride[2] + c.kernel[2];
    row_floats = in_width * c.in_channels;
    kernel_rows = c.kernel[0] * c.kernel[1];
  }
  int64_t image_floats(const Conv& c) const { return align_floats(c.kernel[0] * in_rows * row_floats); }
  int64_t table_floats(const Conv& c) const { return align_floats(kPointerFloats * kernel_rows * rows * c.out[2]); }
  int64_t sum_floats(const Conv& c) const { return c.half == DType::kInvalid ? 0 : half_scratch_floats(rows * c.out[2]); }
  int64_t offset_floats() const { return align_floats(2 * kernel_rows); }
};

// One input row (n, id, ih) into the band, zeros where it lies outside.
void copy_row(const Conv& c, const Band& band, int64_t n, int64_t id, int64_t ih, float* to) {
  if (id < 0 || id >= c.in[0] || ih < 0 || ih >= c.in[1]) {
    std::fill(to, to + band.row_floats, 0.f);
    return;
  }
  const int64_t channels = c.in_channels;
  const int64_t left = std::min(c.pad[2], band.in_width),
                inside = std::clamp<int64_t>(c.in[2], 0, band.in_width - left);
  std::fill(to, to + left * channels, 0.f);
  std::fill(to + (left + inside) * channels, to + band.row_floats, 0.f);
  to += left * channels;
  if (c.planar_input) {
    const int64_t plane = volume(c.in);
    const float* from = c.x + n * channels * plane + (id * c.in[1] + ih) * c.in[2];
    for (int64_t ch = 0; ch < channels; ++ch)
      for (int64_t i = 0; i < inside; ++i) to[i * channels + ch] = from[ch * plane + i];
    return;
  }
  const float* from = c.x + ((n * c.in[0] + id) * c.in[1] + ih) * c.in[2] * c.ldx;
  if (c.ldx == channels) {
    std::copy(from, from + inside * channels, to);
    return;
  }
  for (int64_t i = 0; i < inside; ++i)
    for (int64_t ch = 0; ch < channels; ++ch) to[i * channels + ch] = from[i * c.ldx + ch];
}

}  // namespace

bool is_small_input(const Conv& c) {
  if (c.way == Conv::Way::kPoints && !c.planar_input) return false;
  return c.groups == 1 && (c.in_channels <= 8 || c.way == Conv::Way::kBands) && c.dilation[2] == 1 && c.kernel[2] > 1 && c.out[2] > 0;
}

int64_t small_input_floats(const Conv& c, int threads) {
  const Band band(c, threads);
  return band.offset_floats() + threads * (band.image_floats(c) + band.table_floats(c) + band.sum_floats(c));
}

void run_small_input(const Conv& c, float* scratch, ThreadPool& pool, Isa isa) {
  if (c.batch * volume(c.out) == 0 || c.out_channels == 0) return;
  const Band band(c, pool.threads());
  int64_t* offsets = reinterpret_cast<int64_t*>(scratch);
  const int64_t depth = c.kernel[2] * c.in_channels;
  for (int64_t t = 0; t < band.kernel_rows; ++t) offsets[t] = t * depth * kPanel;
  float* const worker_scratch = scratch + band.offset_floats();
  const int64_t worker_floats = band.image_floats(c) + band.table_floats(c) + band.sum_floats(c);
  const int64_t bands = ceil_div(c.out[1], band.rows);

  pool.parallel_for(c.batch * c.out[0] * bands, [&](int64_t task, int worker) {
    float* image = worker_scratch + worker * worker_floats;
    const float** table = reinterpret_cast<const float**>(image + band.image_floats(c));
    const int64_t n = task / (c.out[0] * bands), od = task / bands % c.out[0], oh = task % bands * band.rows;
    const int64_t out_rows = std::min(band.rows, c.out[1] - oh), pixels = out_rows * c.out[2];
    const int64_t in_rows = (out_rows - 1) * c.stride[1] + (c.kernel[1] - 1) * c.dilation[1] + 1;
    for (int64_t kd = 0; kd < c.kernel[0]; ++kd)
      for (int64_t r = 0; r < in_rows; ++r)
        copy_row(c, band, n, od * c.stride[0] + kd * c.dilation[0] - c.pad[0], oh * c.stride[1] + r - c.pad[1],
                 image + (kd * band.in_rows + r) * band.row_floats);
    const float** to = table;
    for (int64_t kd = 0; kd < c.kernel[0]; ++kd)
      for (int64_t kh = 0; kh < c.kernel[1]; ++kh)
        for (int64_t r = 0; r < out_rows; ++r) {
          const float* p = image + (kd * band.in_rows + r * c.stride[1] + kh * c.dilation[1]) * band.row_floats;
          for (int64_t ow = 0; ow < c.out[2]; ++ow, p += c.stride[2] * c.in_channels) *to++ = p;
        }
    Block block;
    block.isa = isa;
    block.a = table;
    block.a_stride = pixels;
    block.rows = pixels;
    block.taps = band.kernel_rows;
    block.depth = depth;
    block.b_type = c.w_type;
    block.b = c.w;
    block.b_offsets = offsets;
    block.b_stride = band.kernel_rows * depth * kPanel;
    block.col0 = 0;
    block.col1 = c.out_channels;
    block.row0 = ((n * c.out[0] + od) * c.out[1] + oh) * c.out[2];
    block.epilogue = &c.epilogue;
    block.blocking = c.blocking;
    if (c.half != DType::kInvalid)
      return run_block_half(block, half_out(c, block.row0, 0), image + band.image_floats(c) + band.table_floats(c));
    block.c = c.y + block.row0 * c.ldy;
    block.ldc = c.ldy;
    run_block(block);
  });
}

}  // namespace carnot::cpu
