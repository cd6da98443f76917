// SPDX-License-Identifier: Apache-2.0
// The depthwise kernel, written once and compiled for each instruction set (see base/simd/vec.hpp). Vectors run over
// channels; a block of neighbouring pixels shares the weights, and, when the steps are known, each input vector serves
// all the outputs that it touches.
#include "backends/cpu/kernels/conv/depthwise.hpp"
#include "backends/cpu/kernels/gemm/activate.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {
namespace {

constexpr int kBlock = kRegisters == 32 ? 8 : 4;  // pixels in registers

template <bool kFull>
CARNOT_INLINE F32 load_channels(const float* p, Mask m) {
  if constexpr (kFull) return load(p);
  return load_mask(p, m);
}

// kPixels outputs of one vector of channels. kTaps and kStride 0: any, read at run time.
template <int kPixels, int kTaps, int kStride, bool kFull>
CARNOT_INLINE void block(const DepthwiseRun& d, int64_t pixel, int64_t ch, Mask m) {
  F32 acc[kPixels];
  const F32 start = d.bias ? load_channels<kFull>(d.bias + ch, m) : zero();
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) acc[p] = start;
  for (int64_t r = 0; r < d.rows; ++r) {
    const float* x = d.x[r] + pixel * d.x_step + ch;
    const float* w = d.w[r] + ch;
    if constexpr (kTaps > 0) {
      F32 weight[kTaps];
#pragma GCC unroll 8
      for (int k = 0; k < kTaps; ++k) weight[k] = load(w + k * d.w_step);
        // Input i meets output p at kernel position i - p * stride.
#pragma GCC unroll 32
      for (int i = 0; i < (kPixels - 1) * kStride + kTaps; ++i) {
        const F32 v = load_channels<kFull>(x + i * d.k_step, m);
#pragma GCC unroll 8
        for (int p = 0; p < kPixels; ++p)
          if (i - p * kStride >= 0 && i - p * kStride < kTaps) acc[p] = fma(v, weight[i - p * kStride], acc[p]);
      }
    } else {
      for (int64_t k = 0; k < d.taps; ++k) {
        const F32 weight = load(w + k * d.w_step);
#pragma GCC unroll 8
        for (int p = 0; p < kPixels; ++p)
          acc[p] = fma(load_channels<kFull>(x + p * d.x_step + k * d.k_step, m), weight, acc[p]);
      }
    }
  }
  const bool relu = d.activation == Activation::kRelu, clip = d.activation == Activation::kClip;
  const F32 lo = set1(clip ? d.alpha : 0.f), hi = set1(clip ? d.beta : __builtin_inff());
#pragma GCC unroll 8
  for (int p = 0; p < kPixels; ++p) {
    F32 v = acc[p];
    if (d.residual && !d.residual_after) v = v + load_channels<kFull>(d.residual + (pixel + p) * d.ld_residual + ch, m);
    if (relu || clip) v = min(hi, max(lo, v));
    float* y = d.y + (pixel + p) * d.ldy + ch;
    if constexpr (kFull)
      store(y, v);
    else
      store_mask(y, v, m);
  }
}

template <int kPixels, int kTaps, int kStride>
void channels(const DepthwiseRun& d, int64_t pixel) {
  int64_t ch = 0;
  for (; ch + kLanes <= d.channels; ch += kLanes) block<kPixels, kTaps, kStride, true>(d, pixel, ch, Mask{});
  if (ch < d.channels) block<kPixels, kTaps, kStride, false>(d, pixel, ch, mask_first(d.channels - ch));
}

template <int kTaps, int kStride>
void pixels(const DepthwiseRun& d) {
  int64_t p = 0;
  for (; p + kBlock <= d.pixels; p += kBlock) channels<kBlock, kTaps, kStride>(d, p);
  if (p + kBlock / 2 <= d.pixels) channels<kBlock / 2, kTaps, kStride>(d, p), p += kBlock / 2;
  for (; p < d.pixels; ++p) channels<1, kTaps, kStride>(d, p);
}

void depthwise(const DepthwiseRun& d) {
  const int64_t stride = d.k_step > 0 && d.x_step % d.k_step == 0 ? d.x_step / d.k_step : 0;
  if (d.taps == 3 && stride == 1)
    pixels<3, 1>(d);
  else if (d.taps == 3 && stride == 2)
    pixels<3, 2>(d);
  else if (d.taps == 5 && stride == 1)
    pixels<5, 1>(d);
  else if (d.taps == 5 && stride == 2)
    pixels<5, 2>(d);
  else if (d.taps == 7 && stride == 1)
    pixels<7, 1>(d);
  else
    pixels<0, 0>(d);

  // What is left is done on the finished run, which is still in the first-level cache.
  const bool clamped = d.activation == Activation::kRelu || d.activation == Activation::kClip;
  const float* after = d.residual_after ? d.residual : nullptr;
  if ((d.activation != Activation::kNone && !clamped) || after)
    activate_block(d.y, d.ldy, d.pixels, d.channels, clamped ? Activation::kNone : d.activation, d.alpha, d.beta, after,
                   d.ld_residual);
}

}  // namespace

void depthwise_run(const DepthwiseRun& d);
void depthwise_run(const DepthwiseRun& d) { depthwise(d); }

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
