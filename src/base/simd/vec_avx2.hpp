// SPDX-License-Identifier: Apache-2.0
// 8 floats in a ymm register, with FMA; masks are vectors of all-ones or zero. Included by vec.hpp alone.
#pragma once

namespace carnot::simd::avx2 {

using F32 = __m256;
using I32 = __m256i;
using Mask = __m256;
inline constexpr int kLanes = 8;
inline constexpr int kRegisters = 16;

CARNOT_INLINE F32 zero() { return _mm256_setzero_ps(); }
CARNOT_INLINE F32 set1(float x) { return _mm256_set1_ps(x); }
CARNOT_INLINE F32 load(const float* p) { return _mm256_loadu_ps(p); }
CARNOT_INLINE void store(float* p, F32 x) { _mm256_storeu_ps(p, x); }

// The first n lanes, 0 <= n; all from kLanes on.
CARNOT_INLINE Mask mask_first(int64_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n >= 8 ? 8 : int(n)), lane));
}
// Lanes outside the mask are not touched in memory; loads give 0 there.
CARNOT_INLINE F32 load_mask(const float* p, Mask m) { return _mm256_maskload_ps(p, _mm256_castps_si256(m)); }
CARNOT_INLINE void store_mask(float* p, F32 x, Mask m) { _mm256_maskstore_ps(p, _mm256_castps_si256(m), x); }
CARNOT_INLINE F32 load_n(const float* p, int64_t n) { return load_mask(p, mask_first(n)); }
CARNOT_INLINE void store_n(float* p, F32 x, int64_t n) { store_mask(p, x, mask_first(n)); }

CARNOT_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }    // a * b + c
CARNOT_INLINE F32 fnma(F32 a, F32 b, F32 c) { return _mm256_fnmadd_ps(a, b, c); }  // c - a * b
CARNOT_INLINE F32 min(F32 a, F32 b) { return _mm256_min_ps(a, b); }
CARNOT_INLINE F32 max(F32 a, F32 b) { return _mm256_max_ps(a, b); }
CARNOT_INLINE F32 sqrt(F32 x) { return _mm256_sqrt_ps(x); }
CARNOT_INLINE F32 abs(F32 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.f), x); }
// |a| with the sign of b.
CARNOT_INLINE F32 copysign(F32 a, F32 b) { return _mm256_or_ps(abs(a), _mm256_and_ps(_mm256_set1_ps(-0.f), b)); }
CARNOT_INLINE F32 round(F32 x) { return _mm256_round_ps(x, 8); }  // to nearest, ties to even
CARNOT_INLINE F32 floor(F32 x) { return _mm256_round_ps(x, 9); }
CARNOT_INLINE F32 ceil(F32 x) { return _mm256_round_ps(x, 10); }
CARNOT_INLINE F32 trunc(F32 x) { return _mm256_round_ps(x, 11); }

CARNOT_INLINE Mask lt(F32 a, F32 b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
CARNOT_INLINE Mask le(F32 a, F32 b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
CARNOT_INLINE Mask gt(F32 a, F32 b) { return lt(b, a); }
CARNOT_INLINE Mask ge(F32 a, F32 b) { return le(b, a); }
CARNOT_INLINE Mask eq(F32 a, F32 b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
CARNOT_INLINE Mask ne(F32 a, F32 b) { return _mm256_cmp_ps(a, b, _CMP_NEQ_UQ); }  // true for NaN
CARNOT_INLINE Mask mask_and(Mask a, Mask b) { return _mm256_and_ps(a, b); }
CARNOT_INLINE Mask mask_or(Mask a, Mask b) { return _mm256_or_ps(a, b); }
CARNOT_INLINE Mask mask_not(Mask a) { return _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1))); }
CARNOT_INLINE bool any(Mask m) { return _mm256_movemask_ps(m) != 0; }
CARNOT_INLINE bool all(Mask m) { return _mm256_movemask_ps(m) == 0xff; }
// m ? a : b
CARNOT_INLINE F32 select(Mask m, F32 a, F32 b) { return _mm256_blendv_ps(b, a, m); }

CARNOT_INLINE I32 set1_i32(int32_t x) { return _mm256_set1_epi32(x); }
CARNOT_INLINE I32 load_i32(const int32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
CARNOT_INLINE void store_i32(int32_t* p, I32 x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x); }
CARNOT_INLINE I32 add_i32(I32 a, I32 b) { return _mm256_add_epi32(a, b); }
CARNOT_INLINE I32 sub_i32(I32 a, I32 b) { return _mm256_sub_epi32(a, b); }
template <int kBits>
CARNOT_INLINE I32 shift_left(I32 x) {
  return _mm256_slli_epi32(x, kBits);
}
template <int kBits>
CARNOT_INLINE I32 shift_right(I32 x) {  // arithmetic
  return _mm256_srai_epi32(x, kBits);
}
CARNOT_INLINE I32 to_i32(F32 x) { return _mm256_cvtps_epi32(x); }         // to nearest
CARNOT_INLINE I32 trunc_to_i32(F32 x) { return _mm256_cvttps_epi32(x); }  // towards zero
CARNOT_INLINE F32 to_f32(I32 x) { return _mm256_cvtepi32_ps(x); }
CARNOT_INLINE I32 bits(F32 x) { return _mm256_castps_si256(x); }
CARNOT_INLINE F32 from_bits(I32 x) { return _mm256_castsi256_ps(x); }
// p[index[lane]] in each lane.
CARNOT_INLINE F32 gather(const float* p, I32 index) { return _mm256_i32gather_ps(p, index, 4); }

CARNOT_INLINE float first(F32 x) { return _mm256_cvtss_f32(x); }
CARNOT_INLINE float reduce_add(F32 x) {
  __m128 h = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  h = _mm_add_ps(h, _mm_movehl_ps(h, h));
  return _mm_cvtss_f32(_mm_add_ss(h, _mm_movehdup_ps(h)));
}
CARNOT_INLINE float reduce_max(F32 x) {
  __m128 h = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  h = _mm_max_ps(h, _mm_movehl_ps(h, h));
  return _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
}
CARNOT_INLINE float reduce_min(F32 x) {
  __m128 h = _mm_min_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  h = _mm_min_ps(h, _mm_movehl_ps(h, h));
  return _mm_cvtss_f32(_mm_min_ss(h, _mm_movehdup_ps(h)));
}

// x * 2^n for integral n in [-252, 254], in two steps so that overflow and subnormals come out right.
CARNOT_INLINE F32 scale_by_power(F32 x, F32 n) {
  I32 whole = to_i32(n), half = shift_right<1>(whole), bias = set1_i32(127);
  F32 a = from_bits(shift_left<23>(add_i32(half, bias)));
  F32 b = from_bits(shift_left<23>(add_i32(sub_i32(whole, half), bias)));
  return x * a * b;
}

}  // namespace carnot::simd::avx2
