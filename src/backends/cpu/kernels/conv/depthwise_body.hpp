// SPDX-License-Identifier: Apache-2.0
// The depthwise kernel, written once and compiled for each instruction set (see base/simd/vec.hpp). Vectors run over
// channels; a block of neighbouring pixels shares the weights, and, when the shape is known, each input vector serves
// all the outputs that it touches.
#include "backends/cpu/kernels/conv/depthwise.hpp"
#include "backends/cpu/kernels/gemm/activate.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {
namespace {

// Pixels of a block: more than the 8 sums that hide the latency of the multiply-add. The sides of feature maps are
// often multiples of 7.
constexpr int kWide = kRegisters == 32 ? 14 : 7;

// Read in place of padding: a conditional pointer is cheaper than a conditional multiply-add.
alignas(64) constexpr float kZeros[16] = {};
template <typename T>
CARNOT_INLINE const T* zeros() {
  return reinterpret_cast<const T*>(kZeros);
}

template <bool kFull, typename T>
CARNOT_INLINE F32 load_channels(const T* p, Mask m) {
  if constexpr (kFull) return load(p);
  return load_mask(p, m);
}

// Hides a pointer's history from the compiler. It would otherwise work out the offsets of all pixels ahead of the loop
// over channels and keep them in memory, where reading them back costs more than one addition a pixel.
template <typename T>
CARNOT_INLINE void keep_stepping(T*& p) {
  asm("" : "+r"(p));
}

// kPixels outputs of one vector of channels. kTaps and kStride 0: any, read at run time. kInside: no input position of
// the block lies in the padding.
template <typename T, int kPixels, int kTaps, int kStride, bool kFull, bool kInside>
CARNOT_INLINE void block(const DepthwiseRun& d, int64_t pixel, int64_t ch, Mask m) {
  F32 acc[kPixels];
  const F32 start = d.bias ? load_channels<kFull>(d.bias + ch, m) : zero();
#pragma GCC unroll 16
  for (int p = 0; p < kPixels; ++p) acc[p] = start;
  const int64_t first = pixel * (kStride ? kStride : d.stride) - d.pad;  // input position of the first pixel's tap 0
  const int64_t ldx = d.ldx;
  for (int64_t r = 0; r < d.rows; ++r) {
    const T* x = static_cast<const T*>(d.x[r]) + first * ldx + ch;
    const float* w = d.w[r] + ch;
    if constexpr (kTaps > 0) {
      F32 weight[kTaps];
#pragma GCC unroll 8
      for (int k = 0; k < kTaps; ++k) weight[k] = load(w + k * d.ldw);
      // Input i meets output p at tap i - p * stride.
      const T* xi = x;
#pragma GCC unroll 48
      for (int i = 0; i < (kPixels - 1) * kStride + kTaps; ++i) {
        const T* from = xi;
        if (!kInside && uint64_t(first + i) >= uint64_t(d.in_pixels)) from = zeros<T>();
        const F32 v = load_channels<kFull>(from, m);
        xi += ldx;
        keep_stepping(xi);
#pragma GCC unroll 16
        for (int p = 0; p < kPixels; ++p)
          if (i - p * kStride >= 0 && i - p * kStride < kTaps) acc[p] = fma(v, weight[i - p * kStride], acc[p]);
      }
    } else {
      for (int64_t k = 0; k < d.taps; ++k) {
        const F32 weight = load(w + k * d.ldw);
        const T* xk = x + k * d.dilation * ldx;
#pragma GCC unroll 16
        for (int p = 0; p < kPixels; ++p) {
          const T* xi = xk + p * d.stride * ldx;
          if (!kInside && uint64_t(first + p * d.stride + k * d.dilation) >= uint64_t(d.in_pixels)) xi = zeros<T>();
          acc[p] = fma(load_channels<kFull>(xi, m), weight, acc[p]);
        }
      }
    }
  }
  if (d.residual && !d.residual_after) {
    const float* residual = d.residual + pixel * d.ld_residual + ch;
#pragma GCC unroll 16
    for (int p = 0; p < kPixels; ++p, residual += d.ld_residual) acc[p] = acc[p] + load_channels<kFull>(residual, m);
  }
  if (d.activation == Activation::kRelu || d.activation == Activation::kClip) {
    const bool clip = d.activation == Activation::kClip;
    const F32 lo = set1(clip ? d.alpha : 0.f), hi = set1(clip ? d.beta : __builtin_inff());
#pragma GCC unroll 16
    for (int p = 0; p < kPixels; ++p) acc[p] = min(hi, max(lo, acc[p]));
  }
  float* y = d.y + pixel * d.ldy + ch;
#pragma GCC unroll 16
  for (int p = 0; p < kPixels; ++p) {
    if constexpr (kFull)
      store(y, acc[p]);
    else
      store_mask(y, acc[p], m);
    y += d.ldy;
    keep_stepping(y);
  }
}

template <typename T, int kPixels, int kTaps, int kStride>
CARNOT_INLINE void channels(const DepthwiseRun& d, int64_t pixel) {
  const int64_t first = pixel * d.stride - d.pad;
  const int64_t last = first + (kPixels - 1) * d.stride + (d.taps - 1) * d.dilation;
  int64_t ch = 0;
  // Not for the few pixels left at the end of a row, which mostly touch the padding.
  if (kPixels >= 7 && first >= 0 && last < d.in_pixels) {
    for (; ch + kLanes <= d.channels; ch += kLanes)
      block<T, kPixels, kTaps, kStride, true, (kPixels >= 7)>(d, pixel, ch, Mask{});
  } else {
    for (; ch + kLanes <= d.channels; ch += kLanes) block<T, kPixels, kTaps, kStride, true, false>(d, pixel, ch, Mask{});
  }
  if (ch < d.channels) block<T, kPixels, kTaps, kStride, false, false>(d, pixel, ch, mask_first(d.channels - ch));
}

template <typename T, int kTaps, int kStride>
CARNOT_INLINE void pixels(const DepthwiseRun& d) {
  int64_t p = 0;
  for (; p + kWide <= d.pixels; p += kWide) channels<T, kWide, kTaps, kStride>(d, p);
  if constexpr (kWide > 7)
    for (; p + 7 <= d.pixels; p += 7) channels<T, 7, kTaps, kStride>(d, p);
  for (; p + 3 <= d.pixels; p += 3) channels<T, 3, kTaps, kStride>(d, p);
  for (; p < d.pixels; ++p) channels<T, 1, kTaps, kStride>(d, p);
}

// By value: vector stores may alias anything, and would make the compiler read every field again after each of them.
template <typename T>
void depthwise(const DepthwiseRun d) {
  const int64_t known = d.dilation == 1 ? d.taps * 10 + d.stride : 0;
  switch (known) {
    case 31:
      pixels<T, 3, 1>(d);
      break;
    case 32:
      pixels<T, 3, 2>(d);
      break;
    case 51:
      pixels<T, 5, 1>(d);
      break;
    case 52:
      pixels<T, 5, 2>(d);
      break;
    case 71:
      pixels<T, 7, 1>(d);
      break;
    default:
      pixels<T, 0, 0>(d);
      break;
  }
  // What is left is done on the finished row, which is still in the first-level cache.
  const bool clamped = d.activation == Activation::kRelu || d.activation == Activation::kClip;
  const float* after = d.residual_after ? d.residual : nullptr;
  if ((d.activation != Activation::kNone && !clamped) || after)
    activate_block(d.y, d.ldy, d.pixels, d.channels, clamped ? Activation::kNone : d.activation, d.alpha, d.beta, after,
                   d.ld_residual);
}

}  // namespace

void depthwise_run(const DepthwiseRun& d);
void depthwise_run(const DepthwiseRun& d) {
  if (d.x_type == DType::kF16) return depthwise<simd::Half>(d);
  if (d.x_type == DType::kBF16) return depthwise<simd::Brain>(d);
  depthwise<float>(d);
}

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
