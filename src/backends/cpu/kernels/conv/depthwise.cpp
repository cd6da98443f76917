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

bool is_depthwise(const Conv& c) {
  return c.groups > 1 && c.groups == c.in_channels && c.out_channels == c.in_channels &&
         c.kernel[0] * c.kernel[1] <= 256;
}

namespace {

// One output row (n, od, oh), channels [ch0, ch1).
void output_row(const Conv& c, const DepthwiseKernel& kernel, int64_t row, int64_t ch0, int64_t ch1) {
  const int64_t oh = row % c.out[1], od = row / c.out[1] % c.out[0], n = row / (c.out[1] * c.out[0]);
  const int64_t w_pixel = align_floats(c.in_channels), pixel0 = row * c.out[2];
  const float *x[256], *w[256], *shifted_x[256], *shifted_w[256];
  int64_t rows = 0;
  for (int64_t kd = 0; kd < c.kernel[0]; ++kd) {
    const int64_t id = od * c.stride[0] + kd * c.dilation[0] - c.pad[0];
    if (id < 0 || id >= c.in[0]) continue;
    for (int64_t kh = 0; kh < c.kernel[1]; ++kh) {
      const int64_t ih = oh * c.stride[1] + kh * c.dilation[1] - c.pad[1];
      if (ih < 0 || ih >= c.in[1]) continue;
      x[rows] = c.x + ((n * c.in[0] + id) * c.in[1] + ih) * c.in[2] * c.ldx + ch0;
      w[rows++] = c.w + (kd * c.kernel[1] + kh) * c.kernel[2] * w_pixel + ch0;
    }
  }
  const Epilogue& e = c.epilogue;
  DepthwiseRun d;
  d.x = shifted_x;
  d.w = shifted_w;
  d.rows = rows;
  d.x_step = c.stride[2] * c.ldx;
  d.k_step = c.dilation[2] * c.ldx;
  d.w_step = w_pixel;
  d.channels = ch1 - ch0;
  d.ldy = c.ldy;
  d.bias = e.bias ? e.bias + ch0 : nullptr;
  d.ld_residual = e.ld_residual;
  d.residual_after = e.residual_after;
  d.activation = e.activation;
  d.alpha = e.alpha;
  d.beta = e.beta;
  auto run = [&](int64_t ow, int64_t pixels, int64_t k0, int64_t k1) {
    const int64_t iw = ow * c.stride[2] + k0 * c.dilation[2] - c.pad[2];
    for (int64_t r = 0; r < rows; ++r) {
      // Without a tap inside nothing is read, and the position may lie anywhere.
      shifted_x[r] = k0 < k1 ? x[r] + iw * c.ldx : x[r];
      shifted_w[r] = w[r] + k0 * w_pixel;
    }
    d.taps = k1 - k0;
    d.pixels = pixels;
    d.y = c.y + (pixel0 + ow) * c.ldy + ch0;
    d.residual = e.residual ? e.residual + (pixel0 + ow) * e.ld_residual + ch0 : nullptr;
    kernel.run(d);
  };
  // Pixels for which all of the kernel's width lies inside, and the edges one by one.
  const int64_t full0 = valid_outputs(c, 2, 0).begin;
  const int64_t full1 = std::max(full0, valid_outputs(c, 2, c.kernel[2] - 1).end);
  auto edge = [&](int64_t ow) {
    int64_t k0 = 0, k1 = c.kernel[2];
    const int64_t iw = ow * c.stride[2] - c.pad[2];
    while (k0 < k1 && iw + k0 * c.dilation[2] < 0) ++k0;
    while (k1 > k0 && iw + (k1 - 1) * c.dilation[2] >= c.in[2]) --k1;
    run(ow, 1, k0, k1);
  };
  for (int64_t ow = 0; ow < full0; ++ow) edge(ow);
  if (full0 < full1) run(full0, full1 - full0, 0, c.kernel[2]);
  for (int64_t ow = full1; ow < c.out[2]; ++ow) edge(ow);
  if (e.post) e.post(e.post_ctx, c.y + pixel0 * c.ldy + ch0, c.ldy, pixel0, c.out[2], ch0, ch1 - ch0);
}

}  // namespace

void run_depthwise(const Conv& c, ThreadPool& pool, Isa isa) {
  if (c.batch * volume(c.out) == 0) return;
  const DepthwiseKernel& kernel = depthwise_kernel(isa);
  const int64_t rows = c.batch * c.out[0] * c.out[1], threads = pool.threads();
  // Rows in contiguous ranges, several a thread; channels are cut, at whole cache lines, only where rows are too few.
  const int64_t row_tasks = std::min(rows, 4 * threads);
  const int64_t blocks = ceil_div(c.in_channels, 16);
  const int64_t col_tasks = rows >= 4 * threads ? 1 : std::min(blocks, ceil_div(4 * threads, rows));
  pool.parallel_for(row_tasks * col_tasks, [&](int64_t task) {
    const int64_t r = task % row_tasks, s = task / row_tasks;
    const int64_t ch0 = blocks * s / col_tasks * 16, ch1 = std::min(c.in_channels, blocks * (s + 1) / col_tasks * 16);
    for (int64_t row = rows * r / row_tasks; row < rows * (r + 1) / row_tasks; ++row)
      output_row(c, kernel, row, ch0, ch1);
  });
}

}  // namespace carnot::cpu
