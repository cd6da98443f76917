// SPDX-License-Identifier: Apache-2.0
// What the convolution paths share. Internal to kernels/conv.
#pragma once
#include <algorithm>

#include "backends/cpu/kernels/conv/conv.hpp"
#include "backends/cpu/kernels/gemm/block.hpp"
#include "backends/cpu/kernels/gemm/pack.hpp"
#include "backends/cpu/kernels/half/half.hpp"
#include "base/threads.hpp"

namespace carnot::cpu {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
// 0 <= a / b rounded up or down for a of either sign, clamped to [0, n].
constexpr int64_t clamp_div_up(int64_t a, int64_t b, int64_t n) { return a <= 0 ? 0 : std::min(n, ceil_div(a, b)); }
constexpr int64_t clamp_div_down(int64_t a, int64_t b, int64_t n) { return a < 0 ? 0 : std::min(n, a / b); }
constexpr int64_t align_floats(int64_t n) { return (n + 15) / 16 * 16; }

inline int64_t volume(const int64_t (&d)[3]) { return d[0] * d[1] * d[2]; }
// The output positions o in [begin, end) of one dim for which input o * stride + k * dilation - pad exists.
struct Span {
  int64_t begin, end;
};
inline Span valid_outputs(const Conv& c, int dim, int64_t k) {
  const int64_t shift = c.pad[dim] - k * c.dilation[dim];
  Span s{clamp_div_up(shift, c.stride[dim], c.out[dim]), 0};
  s.end = std::max(s.begin, clamp_div_up(c.in[dim] + shift, c.stride[dim], c.out[dim]));
  return s;
}

// The weights from this element on.
inline const void* weights_at(const Conv& c, int64_t element) {
  return static_cast<const char*>(c.w) + element * static_cast<int64_t>(dtype_size(c.w_type));
}
// Where a block goes whose first row is output pixel `pixel`, counted from column `col` on.
inline HalfOut half_out(const Conv& c, int64_t pixel, int64_t col) {
  HalfOut out{c.half, c.half_y + pixel * c.ldy + col, c.ldy, nullptr, c.epilogue.ld_residual};
  if (c.half_residual) out.residual = c.half_residual + pixel * c.epilogue.ld_residual + col;
  return out;
}

// The other ways; each has its workspace (in floats, all threads together) and its run.
bool is_depthwise(const Conv& c);
int64_t depthwise_floats(const Conv& c, int threads);
void run_depthwise(const Conv& c, float* scratch, ThreadPool& pool, Isa isa);

bool is_small_input(const Conv& c);  // few channels: first layers
int64_t small_input_floats(const Conv& c, int threads);
void run_small_input(const Conv& c, float* scratch, ThreadPool& pool, Isa isa);

bool is_winograd(const Conv& c);
int64_t winograd_weights_size(const Conv& c);
void pack_winograd(const Conv& c, const float* w, float* packed);
int64_t winograd_floats(const Conv& c, int threads);
void run_winograd(const Conv& c, float* scratch, ThreadPool& pool, Isa isa);

}  // namespace carnot::cpu
