// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution: one filter a channel. Bound by memory, so each task walks whole output rows and all their
// channels in order.
#include "backends/cpu/kernels/conv/depthwise.hpp"

#include "backends/cpu/kernels/conv/internal.hpp"

namespace carnot::cpu {

#define CARNOT_DEPTHWISE_KERNEL(isa, name)   \
  namespace name {                           \
  void depthwise_run(const DepthwiseRun& d); \
  }
#include "backends/cpu/kernels/conv/kernels.inc"
#undef CARNOT_DEPTHWISE_KERNEL

const DepthwiseKernel& depthwise_kernel(Isa isa) {
  static constexpr DepthwiseKernel kKernels[] = {
#define CARNOT_DEPTHWISE_KERNEL(isa, name) {"depthwise_" #name, Isa::isa, name::depthwise_run},
#include "backends/cpu/kernels/conv/kernels.inc"
#undef CARNOT_DEPTHWISE_KERNEL
  };
  for (const DepthwiseKernel& k : kKernels)
    if (k.isa == isa) return k;
  return kKernels[0];
}

namespace {
constexpr int64_t kMaxKernelRows = 256;
}

bool is_depthwise(const Conv& c) {
  return c.groups > 1 && c.groups == c.in_channels && c.out_channels == c.in_channels &&
         c.kernel[0] * c.kernel[1] <= kMaxKernelRows;
}

namespace {

constexpr int64_t kPixelBlock = 14;  // the widest block of the kernels

// Pixels [ow0, ow1) of one output row (n, od, oh), channels [ch0, ch1).
void output_row(const Conv& c, const DepthwiseKernel& kernel, int64_t row, int64_t ow0, int64_t ow1, int64_t ch0,
                int64_t ch1, float* sums) {
  const int64_t oh = row % c.out[1], od = row / c.out[1] % c.out[0], n = row / (c.out[1] * c.out[0]);
  const int64_t w_pixel = align_floats(c.in_channels), pixel0 = row * c.out[2] + ow0;
  const bool half = c.half != DType::kInvalid;
  const void* x[kMaxKernelRows];
  const float* w[kMaxKernelRows];
  DepthwiseRun d;
  for (int64_t kd = 0; kd < c.kernel[0]; ++kd) {
    const int64_t id = od * c.stride[0] + kd * c.dilation[0] - c.pad[0];
    if (id < 0 || id >= c.in[0]) continue;
    for (int64_t kh = 0; kh < c.kernel[1]; ++kh) {
      const int64_t ih = oh * c.stride[1] + kh * c.dilation[1] - c.pad[1];
      if (ih < 0 || ih >= c.in[1]) continue;
      const int64_t at = ((n * c.in[0] + id) * c.in[1] + ih) * c.in[2] * c.ldx + ch0;
      x[d.rows] = half ? static_cast<const void*>(c.half_x + at) : c.x + at;
      w[d.rows++] = static_cast<const float*>(c.w) + (kd * c.kernel[1] + kh) * c.kernel[2] * w_pixel + ch0;
    }
  }
  const Epilogue& e = c.epilogue;
  d.x = x;
  d.w = w;
  d.taps = c.kernel[2];
  d.stride = c.stride[2];
  d.dilation = c.dilation[2];
  d.pad = c.pad[2] - ow0 * c.stride[2];
  d.in_pixels = c.in[2];
  d.ldx = c.ldx;
  d.ldw = w_pixel;
  d.pixels = ow1 - ow0;
  d.channels = ch1 - ch0;
  d.bias = e.bias ? e.bias + ch0 : nullptr;
  if (half) {
    d.x_type = c.half;
    d.y = sums;
    d.ldy = d.channels;
    kernel.run(d);
    const HalfOut out = half_out(c, pixel0, ch0);
    HalfBlock block{.sum = sums, .ld_sum = d.channels, .rows = d.pixels, .cols = d.channels, .residual = out.residual, .ld_residual = out.ld_residual};
    block.residual_after = e.residual_after;
    block.activation = e.activation;
    block.alpha = e.alpha;
    block.beta = e.beta;
    block.out = out.c;
    block.ld_out = out.ldc;
    return half_kernels(c.half, kernel.isa).finish(block);
  }
  d.y = c.y + pixel0 * c.ldy + ch0;
  d.ldy = c.ldy;
  d.residual = e.residual ? e.residual + pixel0 * e.ld_residual + ch0 : nullptr;
  d.ld_residual = e.ld_residual;
  d.residual_after = e.residual_after;
  d.activation = e.activation;
  d.alpha = e.alpha;
  d.beta = e.beta;
  kernel.run(d);
  if (e.post) e.post(e.post_ctx, d.y, c.ldy, pixel0, ow1 - ow0, ch0, ch1 - ch0);
}

// Within a task so many pixels of the width at a time that the input under the kernel stays in the first-level cache
// from one output row to the next: each input pixel is then fetched once and not once for every kernel row. Cutting
// the channels as well was measured to be slower, since whole pixels are what the prefetchers follow.
int64_t pixels_at_a_time(const Conv& c) {
  if (c.blocking.rows > 0) return c.blocking.rows;
  const int64_t pixel_bytes = 4 * c.in_channels * (c.kernel[0] * c.kernel[1] * c.stride[2] + 1);
  return std::max<int64_t>(1, cpu_features().l1d_bytes * 3 / 4 / pixel_bytes / kPixelBlock) * kPixelBlock;
}

}  // namespace

int64_t depthwise_floats(const Conv& c, int threads) {
  if (c.half == DType::kInvalid) return 0;
  return align_floats(std::min(pixels_at_a_time(c), c.out[2]) * c.in_channels) * threads;
}

void run_depthwise(const Conv& c, float* scratch, ThreadPool& pool, Isa isa) {
  if (c.batch * volume(c.out) == 0) return;
  const DepthwiseKernel& kernel = depthwise_kernel(isa);
  const int64_t rows = c.batch * c.out[0] * c.out[1], threads = pool.threads();
  // Rows in contiguous ranges, several a thread; channels are cut, at whole cache lines, only where rows are too few.
  const int64_t row_tasks = std::min(rows, 4 * threads);
  const int64_t blocks = ceil_div(c.in_channels, 16);
  const int64_t col_tasks = rows >= 4 * threads ? 1 : std::min(blocks, ceil_div(4 * threads, rows));
  const int64_t wide = pixels_at_a_time(c), own = depthwise_floats(c, 1);
  pool.parallel_for(row_tasks * col_tasks, [&](int64_t task, int worker) {
    const int64_t r = task % row_tasks, s = task / row_tasks;
    const int64_t ch0 = blocks * s / col_tasks * 16, ch1 = std::min(c.in_channels, blocks * (s + 1) / col_tasks * 16);
    for (int64_t ow = 0; ow < c.out[2]; ow += wide)
      for (int64_t row = rows * r / row_tasks; row < rows * (r + 1) / row_tasks; ++row)
        output_row(c, kernel, row, ow, std::min(c.out[2], ow + wide), ch0, ch1, scratch + worker * own);
  });
}

}  // namespace carnot::cpu
