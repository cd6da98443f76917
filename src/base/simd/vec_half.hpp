// SPDX-License-Identifier: Apache-2.0
// Floats of 16 bits in memory, F32 in registers: load and store convert, rounding to nearest even. Included by vec.hpp alone.
#pragma once

namespace carnot::simd {
// Bit patterns of IEEE binary16, and of the upper half of a float.
struct Half {
  uint16_t bits;
};
struct Brain {
  uint16_t bits;
};
}  // namespace carnot::simd

namespace carnot::simd::CARNOT_SIMD_ISA {
using carnot::simd::Brain;
using carnot::simd::Half;

#if CARNOT_SIMD_AVX512
namespace half_detail {
CARNOT_INLINE F32 widen(__m256i bits, const Half*) { return _mm512_cvtph_ps(bits); }
CARNOT_INLINE F32 widen(__m256i bits, const Brain*) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16)); }
CARNOT_INLINE __m256i narrow(F32 x, const Half*) { return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT); }
CARNOT_INLINE __m256i narrow(F32 x, const Brain*) {
  const __m512i word = _mm512_castps_si512(x), upper = _mm512_srli_epi32(word, 16);
  const __m512i even = _mm512_add_epi32(_mm512_and_si512(upper, _mm512_set1_epi32(1)), _mm512_set1_epi32(0x7fff));
  const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(word, even), 16);
  // NaN stays NaN: rounding could carry it into infinity.
  return _mm512_cvtepi32_epi16(_mm512_mask_or_epi32(rounded, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), upper, _mm512_set1_epi32(0x40)));
}
}  // namespace half_detail
template <typename T>
CARNOT_INLINE F32 load(const T* p) {
  return half_detail::widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), p);
}
template <typename T>
CARNOT_INLINE F32 load_mask(const T* p, Mask m) {
  return half_detail::widen(_mm256_maskz_loadu_epi16(m, p), p);
}
template <typename T>
CARNOT_INLINE void store(T* p, F32 x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), half_detail::narrow(x, p));
}
template <typename T>
CARNOT_INLINE void store_mask(T* p, F32 x, Mask m) {
  _mm256_mask_storeu_epi16(p, m, half_detail::narrow(x, p));
}

#elif CARNOT_SIMD_AVX2
namespace half_detail {
CARNOT_INLINE F32 widen(__m128i bits, const Half*) { return _mm256_cvtph_ps(bits); }
CARNOT_INLINE F32 widen(__m128i bits, const Brain*) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16)); }
CARNOT_INLINE __m128i narrow(F32 x, const Half*) { return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT); }
CARNOT_INLINE __m128i narrow(F32 x, const Brain*) {
  const __m256i word = _mm256_castps_si256(x), upper = _mm256_srli_epi32(word, 16);
  const __m256i even = _mm256_add_epi32(_mm256_and_si256(upper, _mm256_set1_epi32(1)), _mm256_set1_epi32(0x7fff));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(word, even), 16), quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)), all = _mm256_blendv_epi8(rounded, quiet, nan);
  return _mm_packus_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}
}  // namespace half_detail
template <typename T>
CARNOT_INLINE F32 load(const T* p) {
  return half_detail::widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), p);
}
template <typename T>
CARNOT_INLINE void store(T* p, F32 x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), half_detail::narrow(x, p));
}

#else
namespace half_detail {
CARNOT_INLINE float as_float(uint32_t u) { return __builtin_bit_cast(float, u); }
CARNOT_INLINE uint32_t as_bits(float f) { return __builtin_bit_cast(uint32_t, f); }
CARNOT_INLINE float widen(Half h) {
  const uint32_t sign = uint32_t(h.bits & 0x8000u) << 16, magnitude = h.bits & 0x7fffu;
  // Scaling by 2^112 re-biases the exponent and normalises subnormals.
  const uint32_t finite = as_bits(as_float(magnitude << 13) * as_float(0x77800000u));
  return as_float(sign | (magnitude >= 0x7c00u ? (magnitude << 13) | 0x7f800000u : finite));
}
CARNOT_INLINE float widen(Brain b) { return as_float(uint32_t(b.bits) << 16); }
CARNOT_INLINE void narrow(float f, Half* p) {
  const uint32_t word = as_bits(f), sign = (word >> 16) & 0x8000u, x = word & 0x7fffffffu;
  const uint32_t special = x > 0x7f800000u ? 0x7e00u : 0x7c00u;
  // Adding 0.5 lets the addition round at the last bit of a subnormal.
  const uint32_t subnormal = as_bits(as_float(x) + 0.5f) - 0x3f000000u;
  const uint32_t normal = (x + 0xc8000fffu + ((x >> 13) & 1)) >> 13;
  p->bits = uint16_t(sign | (x >= 0x47800000u ? special : x < 0x38800000u ? subnormal : normal));
}
CARNOT_INLINE void narrow(float f, Brain* p) {
  const uint32_t word = as_bits(f);
  p->bits = uint16_t((word & 0x7fffffffu) > 0x7f800000u ? (word >> 16) | 0x40u : (word + 0x7fffu + ((word >> 16) & 1)) >> 16);
}
}  // namespace half_detail
template <typename T>
CARNOT_INLINE F32 load(const T* p) {
  return _mm_setr_ps(half_detail::widen(p[0]), half_detail::widen(p[1]), half_detail::widen(p[2]), half_detail::widen(p[3]));
}
template <typename T>
CARNOT_INLINE void store(T* p, F32 x) {
  alignas(16) float t[4];
  _mm_store_ps(t, x);
  for (int i = 0; i < 4; ++i) half_detail::narrow(t[i], p + i);
}
#endif

// x rounded to what T holds.
template <typename T>
CARNOT_INLINE F32 rounded(F32 x) {
#if CARNOT_SIMD_SSE2
  T t[kLanes];
  store(t, x);
  return load(t);
#else
  return half_detail::widen(half_detail::narrow(x, static_cast<const T*>(nullptr)), static_cast<const T*>(nullptr));
#endif
}

#if !CARNOT_SIMD_AVX512
// Without predicates: through a copy, bit by bit of the mask.
template <typename T>
CARNOT_INLINE F32 load_mask(const T* p, Mask m) {
  T t[kLanes] = {};
#if CARNOT_SIMD_AVX2
  const int on = _mm256_movemask_ps(m);
#else
  const int on = _mm_movemask_ps(m);
#endif
  for (int i = 0; i < kLanes; ++i)
    if (on >> i & 1) t[i] = p[i];
  return load(t);
}
template <typename T>
CARNOT_INLINE void store_mask(T* p, F32 x, Mask m) {
  T t[kLanes];
  store(t, x);
#if CARNOT_SIMD_AVX2
  const int on = _mm256_movemask_ps(m);
#else
  const int on = _mm_movemask_ps(m);
#endif
  for (int i = 0; i < kLanes; ++i)
    if (on >> i & 1) p[i] = t[i];
}
#endif

}  // namespace carnot::simd::CARNOT_SIMD_ISA
