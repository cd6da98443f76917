// SPDX-License-Identifier: Apache-2.0
// The functions of contract.hpp. Included once by each of scalar.cpp, avx2.cpp and avx512.cpp.
#include "backends/cpu/kernels/pool/contract.hpp"
#include "base/simd/vec.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {
using namespace carnot::simd::CARNOT_SIMD_ISA;

namespace {
// All taps for kVectors vectors of channels, held in registers.
template <bool kMax, int kVectors, bool kMasked>
CARNOT_INLINE void taps(const PoolWindow& w, int64_t c, F32 scale, float* out, Mask m) {
  F32 s[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) s[v] = kMax ? set1(-__builtin_inff()) : zero();
  for (int64_t i = 0; i < w.count[0]; ++i)
    for (int64_t j = 0; j < w.count[1]; ++j) {
      const float* p = w.first + i * w.step[0] + j * w.step[1] + c;
      for (int64_t k = 0; k < w.count[2]; ++k, p += w.step[2])
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const F32 x = kMasked ? load_mask(p + v * kLanes, m) : load(p + v * kLanes);
          s[v] = kMax ? max(s[v], x) : s[v] + x;
        }
    }
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const F32 y = kMax ? s[v] : s[v] * scale;
    if (kMasked)
      store_mask(out + c + v * kLanes, y, m);
    else
      store(out + c + v * kLanes, y);
  }
}

template <bool kMax>
CARNOT_INLINE void window(const PoolWindow& w, int64_t channels, float scale_, float* out) {
  const F32 scale = set1(scale_);
  int64_t c = 0;
  for (; c + 4 * kLanes <= channels; c += 4 * kLanes) taps<kMax, 4, false>(w, c, scale, out, Mask{});
  for (; c + kLanes <= channels; c += kLanes) taps<kMax, 1, false>(w, c, scale, out, Mask{});
  if (c < channels) taps<kMax, 1, true>(w, c, scale, out, mask_first(channels - c));
}

void max_window(const PoolWindow& w, int64_t channels, float* out) { window<true>(w, channels, 1.f, out); }
void sum_window(const PoolWindow& w, int64_t channels, float scale, float* out) { window<false>(w, channels, scale, out); }
}  // namespace

void fill_pool_table(PoolTable& t) { t = {&max_window, &sum_window}; }

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
