// SPDX-License-Identifier: Apache-2.0
// 4 floats in an xmm register with nothing newer than SSE2, so it runs on any x86-64. Included by vec.hpp alone.
#pragma once

namespace carnot::simd::sse2 {

using F32 = __m128;
using I32 = __m128i;
using Mask = __m128;
inline constexpr int kLanes = 4;
inline constexpr int kRegisters = 16;

CARNOT_INLINE F32 zero() { return _mm_setzero_ps(); }
CARNOT_INLINE F32 set1(float x) { return _mm_set1_ps(x); }
CARNOT_INLINE F32 load(const float* p) { return _mm_loadu_ps(p); }
CARNOT_INLINE void store(float* p, F32 x) { _mm_storeu_ps(p, x); }

// The first n lanes, 0 <= n; all from kLanes on.
CARNOT_INLINE Mask mask_first(int64_t n) {
  return _mm_castsi128_ps(_mm_cmpgt_epi32(_mm_set1_epi32(n >= 4 ? 4 : int(n)), _mm_setr_epi32(0, 1, 2, 3)));
}
// Lanes outside the mask are not touched in memory; loads give 0 there.
CARNOT_INLINE F32 load_mask(const float* p, Mask m) {
  alignas(16) float t[4] = {0, 0, 0, 0};
  int on = _mm_movemask_ps(m);
  for (int i = 0; i < 4; ++i)
    if (on >> i & 1) t[i] = p[i];
  return _mm_load_ps(t);
}
CARNOT_INLINE void store_mask(float* p, F32 x, Mask m) {
  alignas(16) float t[4];
  _mm_store_ps(t, x);
  int on = _mm_movemask_ps(m);
  for (int i = 0; i < 4; ++i)
    if (on >> i & 1) p[i] = t[i];
}
CARNOT_INLINE F32 load_n(const float* p, int64_t n) {
  alignas(16) float t[4] = {0, 0, 0, 0};
  for (int i = 0; i < 4 && i < n; ++i) t[i] = p[i];
  return _mm_load_ps(t);
}
CARNOT_INLINE void store_n(float* p, F32 x, int64_t n) {
  alignas(16) float t[4];
  _mm_store_ps(t, x);
  for (int i = 0; i < 4 && i < n; ++i) p[i] = t[i];
}

CARNOT_INLINE F32 fma(F32 a, F32 b, F32 c) { return a * b + c; }   // a * b + c, rounded twice
CARNOT_INLINE F32 fnma(F32 a, F32 b, F32 c) { return c - a * b; }  // c - a * b, rounded twice
CARNOT_INLINE F32 min(F32 a, F32 b) { return _mm_min_ps(a, b); }
CARNOT_INLINE F32 max(F32 a, F32 b) { return _mm_max_ps(a, b); }
CARNOT_INLINE F32 sqrt(F32 x) { return _mm_sqrt_ps(x); }
CARNOT_INLINE F32 abs(F32 x) { return _mm_andnot_ps(_mm_set1_ps(-0.f), x); }
// |a| with the sign of b.
CARNOT_INLINE F32 copysign(F32 a, F32 b) { return _mm_or_ps(abs(a), _mm_and_ps(_mm_set1_ps(-0.f), b)); }

CARNOT_INLINE Mask lt(F32 a, F32 b) { return _mm_cmplt_ps(a, b); }
CARNOT_INLINE Mask le(F32 a, F32 b) { return _mm_cmple_ps(a, b); }
CARNOT_INLINE Mask gt(F32 a, F32 b) { return lt(b, a); }
CARNOT_INLINE Mask ge(F32 a, F32 b) { return le(b, a); }
CARNOT_INLINE Mask eq(F32 a, F32 b) { return _mm_cmpeq_ps(a, b); }
CARNOT_INLINE Mask ne(F32 a, F32 b) { return _mm_cmpneq_ps(a, b); }  // true for NaN
CARNOT_INLINE Mask mask_and(Mask a, Mask b) { return _mm_and_ps(a, b); }
CARNOT_INLINE Mask mask_or(Mask a, Mask b) { return _mm_or_ps(a, b); }
CARNOT_INLINE Mask mask_not(Mask a) { return _mm_xor_ps(a, _mm_castsi128_ps(_mm_set1_epi32(-1))); }
CARNOT_INLINE bool any(Mask m) { return _mm_movemask_ps(m) != 0; }
CARNOT_INLINE bool all(Mask m) { return _mm_movemask_ps(m) == 0xf; }
// m ? a : b
CARNOT_INLINE F32 select(Mask m, F32 a, F32 b) { return _mm_or_ps(_mm_and_ps(m, a), _mm_andnot_ps(m, b)); }

CARNOT_INLINE I32 set1_i32(int32_t x) { return _mm_set1_epi32(x); }
CARNOT_INLINE I32 load_i32(const int32_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
CARNOT_INLINE void store_i32(int32_t* p, I32 x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), x); }
CARNOT_INLINE I32 add_i32(I32 a, I32 b) { return _mm_add_epi32(a, b); }
CARNOT_INLINE I32 sub_i32(I32 a, I32 b) { return _mm_sub_epi32(a, b); }
template <int kBits>
CARNOT_INLINE I32 shift_left(I32 x) {
  return _mm_slli_epi32(x, kBits);
}
template <int kBits>
CARNOT_INLINE I32 shift_right(I32 x) {  // arithmetic
  return _mm_srai_epi32(x, kBits);
}
CARNOT_INLINE I32 to_i32(F32 x) { return _mm_cvtps_epi32(x); }         // to nearest
CARNOT_INLINE I32 trunc_to_i32(F32 x) { return _mm_cvttps_epi32(x); }  // towards zero
CARNOT_INLINE F32 to_f32(I32 x) { return _mm_cvtepi32_ps(x); }
CARNOT_INLINE I32 bits(F32 x) { return _mm_castps_si128(x); }
CARNOT_INLINE F32 from_bits(I32 x) { return _mm_castsi128_ps(x); }
// p[index[lane]] in each lane.
CARNOT_INLINE F32 gather(const float* p, I32 index) {
  alignas(16) int32_t i[4];
  _mm_store_si128(reinterpret_cast<__m128i*>(i), index);
  return _mm_setr_ps(p[i[0]], p[i[1]], p[i[2]], p[i[3]]);
}

// From 2^23 on every float is integral (and NaN compares false): those pass unchanged, and the sign of zero is kept.
CARNOT_INLINE F32 keep_integral(F32 x, F32 rounded) {
  return select(lt(abs(x), set1(8388608.f)), copysign(rounded, x), x);
}
CARNOT_INLINE F32 round(F32 x) { return keep_integral(x, to_f32(to_i32(x))); }  // to nearest, ties to even
CARNOT_INLINE F32 trunc(F32 x) { return keep_integral(x, to_f32(trunc_to_i32(x))); }
CARNOT_INLINE F32 floor(F32 x) {
  F32 t = to_f32(trunc_to_i32(x));
  return keep_integral(x, t - _mm_and_ps(gt(t, x), set1(1.f)));
}
CARNOT_INLINE F32 ceil(F32 x) {
  F32 t = to_f32(trunc_to_i32(x));
  return keep_integral(x, t + _mm_and_ps(lt(t, x), set1(1.f)));
}

CARNOT_INLINE float first(F32 x) { return _mm_cvtss_f32(x); }
CARNOT_INLINE float reduce_add(F32 x) {
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}
CARNOT_INLINE float reduce_max(F32 x) {
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps(x, x, 1)));
}
CARNOT_INLINE float reduce_min(F32 x) {
  x = _mm_min_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_min_ss(x, _mm_shuffle_ps(x, x, 1)));
}

// x * 2^n for integral n in [-252, 254], in two steps so that overflow and subnormals come out right.
CARNOT_INLINE F32 scale_by_power(F32 x, F32 n) {
  I32 whole = to_i32(n), half = shift_right<1>(whole), bias = set1_i32(127);
  F32 a = from_bits(shift_left<23>(add_i32(half, bias)));
  F32 b = from_bits(shift_left<23>(add_i32(sub_i32(whole, half), bias)));
  return x * a * b;
}

}  // namespace carnot::simd::sse2
