// SPDX-License-Identifier: Apache-2.0
// 16 floats in a zmm register; masks are predicate registers. Included by vec.hpp alone.
#pragma once

namespace carnot::simd::avx512 {

using F32 = __m512;
using I32 = __m512i;
using Mask = __mmask16;
inline constexpr int kLanes = 16;
inline constexpr int kRegisters = 32;

CARNOT_INLINE F32 zero() { return _mm512_setzero_ps(); }
CARNOT_INLINE F32 set1(float x) { return _mm512_set1_ps(x); }
CARNOT_INLINE F32 load(const float* p) { return _mm512_loadu_ps(p); }
CARNOT_INLINE void store(float* p, F32 x) { _mm512_storeu_ps(p, x); }

// The first n lanes, 0 <= n; all from kLanes on.
CARNOT_INLINE Mask mask_first(int64_t n) { return n >= 16 ? Mask(0xffff) : Mask((1u << n) - 1); }
// Lanes outside the mask are not touched in memory; loads give 0 there.
CARNOT_INLINE F32 load_mask(const float* p, Mask m) { return _mm512_maskz_loadu_ps(m, p); }
CARNOT_INLINE void store_mask(float* p, F32 x, Mask m) { _mm512_mask_storeu_ps(p, m, x); }
CARNOT_INLINE F32 load_n(const float* p, int64_t n) { return load_mask(p, mask_first(n)); }
CARNOT_INLINE void store_n(float* p, F32 x, int64_t n) { store_mask(p, x, mask_first(n)); }

CARNOT_INLINE F32 fma(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }    // a * b + c
CARNOT_INLINE F32 fnma(F32 a, F32 b, F32 c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a * b
CARNOT_INLINE F32 min(F32 a, F32 b) { return _mm512_min_ps(a, b); }
CARNOT_INLINE F32 max(F32 a, F32 b) { return _mm512_max_ps(a, b); }
CARNOT_INLINE F32 sqrt(F32 x) { return _mm512_sqrt_ps(x); }
CARNOT_INLINE F32 abs(F32 x) { return _mm512_andnot_ps(_mm512_set1_ps(-0.f), x); }
// |a| with the sign of b.
CARNOT_INLINE F32 copysign(F32 a, F32 b) { return _mm512_or_ps(abs(a), _mm512_and_ps(_mm512_set1_ps(-0.f), b)); }
CARNOT_INLINE F32 round(F32 x) { return _mm512_roundscale_ps(x, 8); }  // to nearest, ties to even
CARNOT_INLINE F32 floor(F32 x) { return _mm512_roundscale_ps(x, 9); }
CARNOT_INLINE F32 ceil(F32 x) { return _mm512_roundscale_ps(x, 10); }
CARNOT_INLINE F32 trunc(F32 x) { return _mm512_roundscale_ps(x, 11); }

CARNOT_INLINE Mask lt(F32 a, F32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
CARNOT_INLINE Mask le(F32 a, F32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
CARNOT_INLINE Mask gt(F32 a, F32 b) { return lt(b, a); }
CARNOT_INLINE Mask ge(F32 a, F32 b) { return le(b, a); }
CARNOT_INLINE Mask eq(F32 a, F32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
CARNOT_INLINE Mask ne(F32 a, F32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_NEQ_UQ); }  // true for NaN
CARNOT_INLINE Mask mask_and(Mask a, Mask b) { return a & b; }
CARNOT_INLINE Mask mask_or(Mask a, Mask b) { return a | b; }
CARNOT_INLINE Mask mask_not(Mask a) { return Mask(~a); }
CARNOT_INLINE bool any(Mask m) { return m != 0; }
CARNOT_INLINE bool all(Mask m) { return m == 0xffff; }
// m ? a : b
CARNOT_INLINE F32 select(Mask m, F32 a, F32 b) { return _mm512_mask_blend_ps(m, b, a); }

CARNOT_INLINE I32 set1_i32(int32_t x) { return _mm512_set1_epi32(x); }
CARNOT_INLINE I32 load_i32(const int32_t* p) { return _mm512_loadu_si512(p); }
CARNOT_INLINE void store_i32(int32_t* p, I32 x) { _mm512_storeu_si512(p, x); }
CARNOT_INLINE I32 add_i32(I32 a, I32 b) { return _mm512_add_epi32(a, b); }
CARNOT_INLINE I32 sub_i32(I32 a, I32 b) { return _mm512_sub_epi32(a, b); }
template <int kBits>
CARNOT_INLINE I32 shift_left(I32 x) {
  return _mm512_slli_epi32(x, kBits);
}
template <int kBits>
CARNOT_INLINE I32 shift_right(I32 x) {  // arithmetic
  return _mm512_srai_epi32(x, kBits);
}
CARNOT_INLINE I32 to_i32(F32 x) { return _mm512_cvtps_epi32(x); }         // to nearest
CARNOT_INLINE I32 trunc_to_i32(F32 x) { return _mm512_cvttps_epi32(x); }  // towards zero
CARNOT_INLINE F32 to_f32(I32 x) { return _mm512_cvtepi32_ps(x); }
CARNOT_INLINE I32 bits(F32 x) { return _mm512_castps_si512(x); }
CARNOT_INLINE F32 from_bits(I32 x) { return _mm512_castsi512_ps(x); }
// p[index[lane]] in each lane.
CARNOT_INLINE F32 gather(const float* p, I32 index) { return _mm512_i32gather_ps(index, p, 4); }

CARNOT_INLINE float first(F32 x) { return _mm512_cvtss_f32(x); }
CARNOT_INLINE float reduce_add(F32 x) { return _mm512_reduce_add_ps(x); }
CARNOT_INLINE float reduce_max(F32 x) { return _mm512_reduce_max_ps(x); }
CARNOT_INLINE float reduce_min(F32 x) { return _mm512_reduce_min_ps(x); }

// x * 2^n for integral n, with the right overflow and subnormals.
CARNOT_INLINE F32 scale_by_power(F32 x, F32 n) { return _mm512_scalef_ps(x, n); }

}  // namespace carnot::simd::avx512
