// SPDX-License-Identifier: Apache-2.0
// The transforms of winograd.hpp, written once and compiled for each instruction set (see base/simd/vec.hpp). Vectors run over channels.
#include "backends/cpu/kernels/conv/winograd.hpp"
#include "backends/cpu/kernels/gemm/activate.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {
namespace {

template <int kM>
struct Transform;

template <>
struct Transform<2> {
  CARNOT_INLINE void input(const F32 (&d)[4], F32 (&v)[4]) {
    v[0] = d[2] - d[0];
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[3] - d[1];
  }
  CARNOT_INLINE void output(const F32 (&s)[4], F32 (&y)[2]) {
    y[0] = s[0] + s[1] + s[2];
    y[1] = s[1] - s[2] + s[3];
  }
};

template <>
struct Transform<4> {
  CARNOT_INLINE void input(const F32 (&d)[6], F32 (&v)[6]) {
    const F32 even1 = fma(set1(-2.25f), d[2], d[4]), odd1 = fma(set1(-1.6875f), d[1], set1(0.75f) * d[3]);
    const F32 even2 = fma(set1(-0.5625f), d[2], d[4]), odd2 = fma(set1(-0.84375f), d[1], set1(1.5f) * d[3]);
    v[0] = fma(set1(1.265625f), d[0], fma(set1(-2.8125f), d[2], d[4]));
    v[1] = even1 + odd1;
    v[2] = even1 - odd1;
    v[3] = even2 + odd2;
    v[4] = even2 - odd2;
    v[5] = fma(set1(1.265625f), d[1], fma(set1(-2.8125f), d[3], d[5]));
  }
  CARNOT_INLINE void output(const F32 (&s)[6], F32 (&y)[4]) {
    const F32 sum1 = s[1] + s[2], sum2 = s[3] + s[4], difference1 = s[1] - s[2], difference2 = s[3] - s[4];
    y[0] = s[0] + sum1 + sum2;
    y[1] = fma(set1(1.5f), difference2, set1(0.75f) * difference1);
    y[2] = fma(set1(2.25f), sum2, set1(0.5625f) * sum1);
    y[3] = fma(set1(3.375f), difference2, fma(set1(0.421875f), difference1, s[5]));
  }
};

template <int kM, bool kFull>
CARNOT_INLINE void input_vector(const WinogradInput& p, int64_t ch, Mask m) {
  constexpr int kN = kM + 2;
  F32 columns[kN][kN];  // [row of V][column of x]
#pragma GCC unroll 6
  for (int c = 0; c < kN; ++c) {
    F32 d[kN], v[kN];
#pragma GCC unroll 6
    for (int r = 0; r < kN; ++r) {
      const float* from = p.pixels[r * kN + c] + ch;
      if constexpr (kFull)
        d[r] = load(from);
      else
        d[r] = load_mask(from, m);
    }
    Transform<kM>::input(d, v);
#pragma GCC unroll 6
    for (int r = 0; r < kN; ++r) columns[r][c] = v[r];
  }
  float* to = p.v + ch;
#pragma GCC unroll 6
  for (int r = 0; r < kN; ++r) {
    F32 v[kN];
    Transform<kM>::input(columns[r], v);
#pragma GCC unroll 6
    for (int c = 0; c < kN; ++c, to += p.v_stride) store(to, v[c]);
  }
}

template <int kM>
void input(const WinogradInput& p) {
  int64_t ch = 0;
  for (; ch + kLanes <= p.channels; ch += kLanes) input_vector<kM, true>(p, ch, Mask{});
  if (ch < p.channels) input_vector<kM, false>(p, ch, mask_first(p.channels - ch));
}

template <int kM, bool kFull>
CARNOT_INLINE void output_vector(const WinogradOutput& p, int64_t ch, Mask m) {
  constexpr int kN = kM + 2;
  auto get = [&](const float* from) {
    if constexpr (kFull) return load(from);
    return load_mask(from, m);
  };
  F32 rows[kM][kN];
#pragma GCC unroll 6
  for (int c = 0; c < kN; ++c) {
    F32 s[kN], y[kM];
#pragma GCC unroll 6
    for (int r = 0; r < kN; ++r) s[r] = get(p.sums + (r * kN + c) * p.sum_stride + ch);
    Transform<kM>::output(s, y);
#pragma GCC unroll 4
    for (int r = 0; r < kM; ++r) rows[r][c] = y[r];
  }
  const F32 bias = p.bias ? get(p.bias + ch) : zero();
  const bool clamp = p.activation == Activation::kRelu || p.activation == Activation::kClip;
  const F32 lo = set1(p.activation == Activation::kClip ? p.alpha : 0.f);
  const F32 hi = set1(p.activation == Activation::kClip ? p.beta : __builtin_inff());
  const bool add_after = p.residual && p.residual_after && (clamp || p.activation == Activation::kNone);
#pragma GCC unroll 4
  for (int r = 0; r < kM; ++r) {
    F32 y[kM];
    Transform<kM>::output(rows[r], y);
    if (r >= p.rows) continue;
#pragma GCC unroll 4
    for (int c = 0; c < kM; ++c) {
      if (c >= p.cols) continue;
      F32 x = y[c] + bias;
      const float* residual = p.residual ? p.residual + r * p.residual_row + c * p.ld_residual + ch : nullptr;
      if (residual && !p.residual_after) x = x + get(residual);
      if (clamp) x = min(hi, max(lo, x));
      if (add_after) x = x + get(residual);
      float* to = p.y + r * p.y_row + c * p.ldy + ch;
      if constexpr (kFull)
        store(to, x);
      else
        store_mask(to, x, m);
    }
  }
}

// By value: vector stores may alias anything, and would make the compiler read every field again after each of them.
template <int kM>
void output(const WinogradOutput p) {
  int64_t ch = 0;
  for (; ch + kLanes <= p.channels; ch += kLanes) output_vector<kM, true>(p, ch, Mask{});
  if (ch < p.channels) output_vector<kM, false>(p, ch, mask_first(p.channels - ch));
  if (p.activation == Activation::kNone || p.activation == Activation::kRelu || p.activation == Activation::kClip) return;
  for (int64_t r = 0; r < p.rows; ++r)
    activate_block(p.y + r * p.y_row, p.ldy, p.cols, p.channels, p.activation, p.alpha, p.beta,
                   p.residual_after && p.residual ? p.residual + r * p.residual_row : nullptr, p.ld_residual);
}

void input_2(const WinogradInput& p) { input<2>(p); }
void input_4(const WinogradInput& p) { input<4>(p); }
void output_2(const WinogradOutput& p) { output<2>(p); }
void output_4(const WinogradOutput& p) { output<4>(p); }

}  // namespace

void fill_winograd(WinogradKernels& kernels);
void fill_winograd(WinogradKernels& kernels) { kernels = {&input_2, &input_4, &output_2, &output_4}; }

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
