// SPDX-License-Identifier: Apache-2.0
// Convolution as a matrix product without im2col: the rows of A are the input pixels under each kernel position, given
// by pointers.
#include "backends/cpu/kernels/conv/conv.hpp"

#include "backends/cpu/kernels/conv/internal.hpp"
#include "backends/cpu/kernels/gemm/gemm.hpp"

namespace carnot::cpu {
namespace {

constexpr int64_t kPointerFloats = sizeof(const float*) / sizeof(float);

// A 1x1 convolution over every pixel is a matrix product of all pixels.
bool is_product(const Conv& c) {
  for (int d = 0; d < 3; ++d)
    if (c.kernel[d] != 1 || c.stride[d] != 1 || c.pad[d] != 0 || c.in[d] != c.out[d]) return false;
  return c.groups == 1;
}

int64_t taps_of(const Conv& c) { return volume(c.kernel); }

// Output pixels of a task: its input should take half of the second-level cache, its pointers much less.
int64_t row_limit(const Conv& c) {
  const int64_t pixel = 4 * c.in_channels * std::min<int64_t>(c.stride[1] * c.stride[2], taps_of(c));
  const int64_t by_input = cpu_features().l2_bytes / 2 / std::max<int64_t>(pixel, 1);
  const int64_t by_pointers = 8192 / taps_of(c);
  return std::clamp<int64_t>(std::min(by_input, by_pointers), 56, 512);
}

// Fills table[tap][rows] for `rows` output pixels from `first` on. Runs of valid pixels along the width are arithmetic
// progressions.
void point_at_input(const Conv& c, int64_t first, int64_t rows, const float* zeros, const float** table) {
  const int64_t width = c.out[2], plane = c.out[1] * width;
  for (int64_t done = 0; done < rows;) {
    const int64_t pixel = first + done, n = pixel / (plane * c.out[0]), in_image = pixel % (plane * c.out[0]);
    const int64_t od = in_image / plane, oh = in_image % plane / width, ow = in_image % width;
    const int64_t run = std::min(width - ow, rows - done);
    const float* image = c.x + n * volume(c.in) * c.ldx;
    const float** to = table + done;
    for (int64_t kd = 0; kd < c.kernel[0]; ++kd) {
      const int64_t id = od * c.stride[0] + kd * c.dilation[0] - c.pad[0];
      for (int64_t kh = 0; kh < c.kernel[1]; ++kh) {
        const int64_t ih = oh * c.stride[1] + kh * c.dilation[1] - c.pad[1];
        const bool inside = id >= 0 && id < c.in[0] && ih >= 0 && ih < c.in[1];
        for (int64_t kw = 0; kw < c.kernel[2]; ++kw, to += rows) {
          Span valid = inside ? valid_outputs(c, 2, kw) : Span{0, 0};
          valid = {std::clamp<int64_t>(valid.begin - ow, 0, run), std::clamp<int64_t>(valid.end - ow, 0, run)};
          for (int64_t i = 0; i < valid.begin; ++i) to[i] = zeros;
          if (valid.begin < valid.end) {
            const int64_t iw = (ow + valid.begin) * c.stride[2] + kw * c.dilation[2] - c.pad[2];
            const float* p = image + ((id * c.in[1] + ih) * c.in[2] + iw) * c.ldx;
            const int64_t step = c.stride[2] * c.ldx;
            for (int64_t i = valid.begin; i < valid.end; ++i, p += step) to[i] = p;
          }
          for (int64_t i = valid.end; i < run; ++i) to[i] = zeros;
        }
      }
    }
    done += run;
  }
}

// Moves the taps that reach the input from at least one of the rows to the front of the table, with their offsets, and returns their
// number. With a wide dilation most taps of a task lie in the padding altogether and add nothing.
int64_t drop_padding_taps(int64_t taps, int64_t rows, int64_t step, const float* zeros, const float** table, int64_t* offsets) {
  int64_t kept = 0;
  for (int64_t t = 0; t < taps; ++t) {
    const float** from = table + t * rows;
    if (std::all_of(from, from + rows, [zeros](const float* p) { return p == zeros; })) continue;
    if (kept != t) std::copy(from, from + rows, table + kept * rows);
    offsets[kept++] = t * step;
  }
  return kept;
}

// Layout of the scratch: zeros for padding, then for each worker the offsets of the taps in a panel, a table of pointers
// and, if the output is narrow, the sums on their way there.
struct Scratch {
  int64_t zeros, offsets, table, sums;
  Scratch(const Conv& c, int64_t rows)
      : zeros(align_floats(c.in_channels)),
        offsets(align_floats(2 * taps_of(c))),
        table(align_floats(kPointerFloats * taps_of(c) * rows)),
        sums(c.half == DType::kInvalid ? 0 : half_scratch_floats(rows)) {}
  int64_t worker() const { return offsets + table + sums; }
  int64_t floats(int threads) const { return zeros + worker() * threads; }
};

void run_general(const Conv& c, float* scratch_memory, ThreadPool& pool, Isa isa) {
  const int64_t rows = c.batch * volume(c.out), taps = taps_of(c);
  const int64_t ic = c.in_channels / c.groups, oc = c.out_channels / c.groups;
  if (rows == 0 || oc == 0) return;
  const int64_t limit = row_limit(c), group_panels = ceil_div(oc, kPanel);
  // Several groups are shared out whole: to the partition a group is one pair of panels.
  const Partition part = c.groups == 1 ? partition_output(rows, group_panels, taps * ic, limit, pool.threads(), c.blocking)
                                       : partition_output(rows, 2 * c.groups, taps * ic * ceil_div(group_panels, 2),
                                                          limit, pool.threads(), c.blocking);
  const Scratch scratch(c, limit);
  float* zeros = scratch_memory;
  std::fill(zeros, zeros + c.in_channels, 0.f);

  pool.parallel_for(part.tasks(), [&](int64_t task, int worker) {
    const int64_t row = task / part.col_tasks * part.rows, col = task % part.col_tasks;
    const int64_t count = std::min(part.rows, rows - row);
    float* own = zeros + scratch.zeros + worker * scratch.worker();
    int64_t* offsets = reinterpret_cast<int64_t*>(own);
    const float** table = reinterpret_cast<const float**>(own + scratch.offsets);
    point_at_input(c, row, count, zeros, table);
    const int64_t reached = drop_padding_taps(taps, count, ic * kPanel, zeros, table, offsets);
    const int64_t group0 = c.groups == 1 ? 0 : col * part.panels / 2;
    const int64_t group1 = c.groups == 1 ? 1 : std::min(c.groups, group0 + part.panels / 2);
    for (int64_t g = group0; g < group1; ++g) {
      Epilogue epilogue = c.epilogue;
      if (epilogue.bias) epilogue.bias += g * oc;
      if (epilogue.residual) epilogue.residual += g * oc;
      // With groups the callback sees all of this task's columns at once, below.
      if (c.groups > 1) epilogue.post = nullptr;
      Block block;
      block.isa = isa;
      block.a = table;
      block.a_stride = count;
      block.a_offset = g * ic;
      block.rows = count;
      block.taps = reached;
      block.depth = ic;
      block.b_type = c.w_type;
      block.b = weights_at(c, g * packed_size(taps * ic, oc));
      block.b_offsets = offsets;
      block.b_stride = taps * ic * kPanel;
      block.col0 = c.groups == 1 ? col * part.panels * kPanel : 0;
      block.col1 = c.groups == 1 ? std::min(oc, block.col0 + part.panels * kPanel) : oc;
      block.epilogue = &epilogue;
      block.blocking = c.blocking;
      if (c.half != DType::kInvalid) {
        run_block_half(block, half_out(c, row, g * oc), own + scratch.offsets + scratch.table);
        continue;
      }
      block.c = c.y + row * c.ldy + g * oc;
      block.ldc = c.ldy;
      block.row0 = row;
      run_block(block);
    }
    if (c.groups > 1 && c.epilogue.post)
      c.epilogue.post(c.epilogue.post_ctx, c.y + row * c.ldy + group0 * oc, c.ldy, row, count, group0 * oc,
                      (group1 - group0) * oc);
  });
}

// The same product for either kind of operands.
Gemm product_of(const Conv& c, void* workspace) {
  return {.m = c.batch * volume(c.out),
          .n = c.out_channels,
          .k = c.in_channels,
          .a = c.x,
          .lda = c.ldx,
          .b_type = c.w_type,
          .b = c.w,
          .c = c.y,
          .ldc = c.ldy,
          .epilogue = c.epilogue,
          .blocking = c.blocking,
          .half = c.half,
          .half_a = c.half_x,
          .half_c = c.half_y,
          .half_residual = c.half_residual,
          .workspace = workspace};
}

// Narrow inputs of kernels wider than a point are widened whole: each element is read many times.
int64_t widened_floats(const Conv& c) { return c.half == DType::kInvalid ? 0 : align_floats(c.batch * volume(c.in) * c.in_channels); }

}  // namespace

int64_t packed_weights_size(const Conv& c) {
  if (is_winograd(c)) return winograd_weights_size(c);
  return is_depthwise(c) ? packed_depthwise_size(c.out_channels, taps_of(c))
                         : packed_conv_size(c.out_channels, c.in_channels, taps_of(c), c.groups);
}

void pack_weights(const Conv& c, const float* w, float* packed) {
  if (is_winograd(c)) return pack_winograd(c, w, packed);
  if (is_depthwise(c))
    pack_depthwise(w, c.out_channels, taps_of(c), packed);
  else
    pack_conv(w, c.out_channels, c.in_channels, taps_of(c), c.groups, packed);
}

bool conv_reads_planar(const Conv& c) { return is_small_input(c); }

bool conv_takes_half_weights(const Conv& c) { return !is_depthwise(c) && !is_winograd(c); }

bool conv_takes_winograd(const Conv& c) { return is_winograd(c); }

size_t conv_workspace(const Conv& c, int threads) {
  if (is_winograd(c)) return size_t(winograd_floats(c, threads)) * sizeof(float);
  if (!is_depthwise(c) && is_product(c) && !c.planar_input) return gemm_workspace(product_of(c, nullptr), threads);
  int64_t floats = 0;
  if (is_depthwise(c))
    floats = depthwise_floats(c, threads);
  else if (is_small_input(c))
    floats = widened_floats(c) + small_input_floats(c, threads);
  else
    floats = widened_floats(c) + Scratch(c, row_limit(c)).floats(threads);
  return size_t(floats) * sizeof(float);
}

void run_conv(const Conv& conv, void* workspace, ThreadPool& pool, Isa isa) {
  float* scratch = static_cast<float*>(workspace);
  if (is_winograd(conv)) return run_winograd(conv, scratch, pool, isa);
  if (is_depthwise(conv)) return run_depthwise(conv, scratch, pool, isa);
  if (is_product(conv) && !conv.planar_input) return run_gemm(product_of(conv, workspace), pool, isa);
  Conv c = conv;
  if (c.half != DType::kInvalid) {
    widen_rows(c.half, c.half_x, c.ldx, scratch, c.batch * volume(c.in), c.in_channels, pool);
    c.x = scratch;
    c.ldx = c.in_channels;
    scratch += widened_floats(c);
  }
  if (is_small_input(c))
    run_small_input(c, scratch, pool, isa);
  else
    run_general(c, scratch, pool, isa);
}

}  // namespace carnot::cpu
