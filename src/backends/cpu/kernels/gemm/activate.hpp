// SPDX-License-Identifier: Apache-2.0
// The activations of epilogue.hpp on one vector. Included by kernel bodies only (see base/simd/vec.hpp).
#pragma once
#include "backends/cpu/kernels/gemm/epilogue.hpp"
#include "base/simd/vec.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {
using namespace carnot::simd::CARNOT_SIMD_ISA;

template <Activation kActivation>
CARNOT_INLINE F32 activate(F32 x, F32 alpha, F32 beta) {
  const F32 one = set1(1.f), half = set1(0.5f);
  if constexpr (kActivation == Activation::kRelu) return max(zero(), x);
  if constexpr (kActivation == Activation::kClip) return min(beta, max(alpha, x));
  if constexpr (kActivation == Activation::kLeakyRelu) return select(lt(x, zero()), x * alpha, x);
  if constexpr (kActivation == Activation::kSigmoid) return sigmoid(x);
  if constexpr (kActivation == Activation::kSilu) return x * sigmoid(x);
  if constexpr (kActivation == Activation::kHardSwish) return x * min(one, max(zero(), fma(x, alpha, beta)));
  if constexpr (kActivation == Activation::kHardSigmoid) return min(one, max(zero(), fma(x, alpha, beta)));
  if constexpr (kActivation == Activation::kTanh) return tanh(x);
  if constexpr (kActivation == Activation::kGeluErf) return half * x * (one + erf(x * set1(0.70710678f)));
  if constexpr (kActivation == Activation::kGeluTanh)
    return half * x * (one + tanh(set1(0.79788456f) * fma(set1(0.044715f) * x * x, x, x)));
  if constexpr (kActivation == Activation::kQuickGelu) return x * sigmoid(set1(1.702f) * x);
  return x;
}

// Calls fn.template operator()<kActivation>() for the activation given.
template <typename Fn>
CARNOT_INLINE void with_activation(Activation activation, const Fn& fn) {
  switch (activation) {
    case Activation::kNone:
      return fn.template operator()<Activation::kNone>();
    case Activation::kRelu:
      return fn.template operator()<Activation::kRelu>();
    case Activation::kClip:
      return fn.template operator()<Activation::kClip>();
    case Activation::kLeakyRelu:
      return fn.template operator()<Activation::kLeakyRelu>();
    case Activation::kSigmoid:
      return fn.template operator()<Activation::kSigmoid>();
    case Activation::kSilu:
      return fn.template operator()<Activation::kSilu>();
    case Activation::kHardSwish:
      return fn.template operator()<Activation::kHardSwish>();
    case Activation::kHardSigmoid:
      return fn.template operator()<Activation::kHardSigmoid>();
    case Activation::kTanh:
      return fn.template operator()<Activation::kTanh>();
    case Activation::kGeluErf:
      return fn.template operator()<Activation::kGeluErf>();
    case Activation::kGeluTanh:
      return fn.template operator()<Activation::kGeluTanh>();
    case Activation::kQuickGelu:
      return fn.template operator()<Activation::kQuickGelu>();
  }
}

// x = activation(x) (+ residual) on a block of rows x cols, for what is too long for the store of a tile.
[[maybe_unused]] static void activate_block(float* c, int64_t ldc, int64_t rows, int64_t cols, Activation activation, float alpha,
                           float beta, const float* residual, int64_t ld_residual) {
  with_activation(activation, [&]<Activation kActivation>() {
    const F32 a = set1(alpha), b = set1(beta);
    for (int64_t r = 0; r < rows; ++r) {
      float* row = c + r * ldc;
      const float* add = residual ? residual + r * ld_residual : nullptr;
      int64_t j = 0;
      for (; j + kLanes <= cols; j += kLanes) {
        F32 x = activate<kActivation>(load(row + j), a, b);
        store(row + j, add ? x + load(add + j) : x);
      }
      if (j < cols) {
        const Mask m = mask_first(cols - j);
        F32 x = activate<kActivation>(load_mask(row + j, m), a, b);
        store_mask(row + j, add ? x + load_mask(add + j, m) : x, m);
      }
    }
  });
}

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
