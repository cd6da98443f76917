// SPDX-License-Identifier: Apache-2.0
// The functions of half.hpp, written once and compiled for each instruction set (see base/simd/vec.hpp).
#include "backends/cpu/kernels/gemm/activate.hpp"
#include "backends/cpu/kernels/half/half.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {
namespace {

using simd::Brain;
using simd::Half;

template <typename T>
void widen(const uint16_t* from, float* to, int64_t n) {
  const T* p = reinterpret_cast<const T*>(from);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(to + i, load(p + i));
  if (i < n) store_mask(to + i, load_mask(p + i, mask_first(n - i)), mask_first(n - i));
}

template <typename T>
void narrow(const float* from, uint16_t* to, int64_t n) {
  T* p = reinterpret_cast<T*>(to);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(p + i, load(from + i));
  if (i < n) store_mask(p + i, load_mask(from + i, mask_first(n - i)), mask_first(n - i));
}

template <typename T>
void finish(const HalfBlock& b) {
  with_activation(b.activation, [&]<Activation kActivation>() {
    const F32 alpha = set1(b.alpha), beta = set1(b.beta);
    for (int64_t r = 0; r < b.rows; ++r) {
      const float* sum = b.sum + r * b.ld_sum;
      T* out = reinterpret_cast<T*>(b.out) + r * b.ld_out;
      const T* residual = b.residual ? reinterpret_cast<const T*>(b.residual) + r * b.ld_residual : nullptr;
      const T *before = b.residual_after ? nullptr : residual, *after = b.residual_after ? residual : nullptr;
      int64_t j = 0;
      for (; j + kLanes <= b.cols; j += kLanes) {
        F32 x = load(sum + j);
        if (before) x = x + load(before + j);
        x = activate<kActivation>(x, alpha, beta);
        if (after) x = x + load(after + j);
        store(out + j, x);
      }
      if (j < b.cols) {
        const Mask m = mask_first(b.cols - j);
        F32 x = load_mask(sum + j, m);
        if (before) x = x + load_mask(before + j, m);
        x = activate<kActivation>(x, alpha, beta);
        if (after) x = x + load_mask(after + j, m);
        store_mask(out + j, x, m);
      }
    }
  });
}

}  // namespace

extern const HalfKernels kHalfKernels, kBrainKernels;
constexpr Isa kThisIsa = kLanes == 16 ? Isa::kAvx512 : kLanes == 8 ? Isa::kAvx2 : Isa::kScalar;
const HalfKernels kHalfKernels{kThisIsa, widen<Half>, narrow<Half>, finish<Half>};
const HalfKernels kBrainKernels{kThisIsa, widen<Brain>, narrow<Brain>, finish<Brain>};

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
