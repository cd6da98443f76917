// SPDX-License-Identifier: Apache-2.0
// The functions of contract.hpp. Included once by each of scalar.cpp, avx2.cpp and avx512.cpp.
#include "backends/cpu/kernels/resize/contract.hpp"
#include "base/simd/vec.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {
using namespace carnot::simd::CARNOT_SIMD_ISA;

namespace {
// kTaps = 0: any number.
template <int kTaps>
CARNOT_INLINE void sum_taps(const float* const* from, const float* weight, int taps, int64_t n, float* out) {
  const int count = kTaps ? kTaps : taps;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    F32 s = load(from[0] + i) * set1(weight[0]);
    for (int t = 1; t < count; ++t) s = fma(load(from[t] + i), set1(weight[t]), s);
    store(out + i, s);
  }
  if (i == n) return;
  const Mask m = mask_first(n - i);
  F32 s = load_mask(from[0] + i, m) * set1(weight[0]);
  for (int t = 1; t < count; ++t) s = fma(load_mask(from[t] + i, m), set1(weight[t]), s);
  store_mask(out + i, s, m);
}

void weighted_sum(const float* const* from, const float* weight, int taps, int64_t n, float* out) {
  if (taps == 2) return sum_taps<2>(from, weight, taps, n, out);
  if (taps == 4) return sum_taps<4>(from, weight, taps, n, out);
  sum_taps<0>(from, weight, taps, n, out);
}

void along(const float* in, const ResizeAxis& axis, float* out) {
  int64_t o = 0;
  for (; o + kLanes <= axis.out; o += kLanes) {
    F32 s = zero();
    for (int t = 0; t < axis.taps; ++t) {
      const int64_t at = t * axis.out + o;
      s = fma(gather(in, load_i32(axis.index + at)), load(axis.weight + at), s);
    }
    store(out + o, s);
  }
  for (; o < axis.out; ++o) {
    float s = 0;
    for (int t = 0; t < axis.taps; ++t) s += in[axis.index[t * axis.out + o]] * axis.weight[t * axis.out + o];
    out[o] = s;
  }
}
}  // namespace

void fill_resize_table(ResizeTable& t) { t = {&weighted_sum, &along}; }

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
