// SPDX-License-Identifier: Apache-2.0
// The functions of contract.hpp. Included once by each of scalar.cpp, avx2.cpp and avx512.cpp.
#include "backends/cpu/kernels/transpose/contract.hpp"
#include "base/simd/vec.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {
using namespace carnot::simd::CARNOT_SIMD_ISA;

namespace {
// A kLanes x kLanes block in registers: r[i] lane j becomes r[j] lane i.
#if CARNOT_SIMD_AVX512
CARNOT_INLINE void transpose_block(F32 (&r)[16]) {
  F32 q[16];  // q[4g + k]: 128-bit lane l holds column 4l + k of rows 4g .. 4g+3
#pragma GCC unroll 4
  for (int g = 0; g < 4; ++g) {
    const F32 t0 = _mm512_unpacklo_ps(r[4 * g], r[4 * g + 1]), t1 = _mm512_unpackhi_ps(r[4 * g], r[4 * g + 1]);
    const F32 t2 = _mm512_unpacklo_ps(r[4 * g + 2], r[4 * g + 3]), t3 = _mm512_unpackhi_ps(r[4 * g + 2], r[4 * g + 3]);
    q[4 * g] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t0), _mm512_castps_pd(t2)));
    q[4 * g + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t0), _mm512_castps_pd(t2)));
    q[4 * g + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t1), _mm512_castps_pd(t3)));
    q[4 * g + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t1), _mm512_castps_pd(t3)));
  }
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const F32 a = _mm512_shuffle_f32x4(q[k], q[4 + k], 0x88), b = _mm512_shuffle_f32x4(q[k], q[4 + k], 0xdd);
    const F32 c = _mm512_shuffle_f32x4(q[8 + k], q[12 + k], 0x88), d = _mm512_shuffle_f32x4(q[8 + k], q[12 + k], 0xdd);
    r[k] = _mm512_shuffle_f32x4(a, c, 0x88);
    r[4 + k] = _mm512_shuffle_f32x4(b, d, 0x88);
    r[8 + k] = _mm512_shuffle_f32x4(a, c, 0xdd);
    r[12 + k] = _mm512_shuffle_f32x4(b, d, 0xdd);
  }
}
#elif CARNOT_SIMD_AVX2
CARNOT_INLINE void transpose_block(F32 (&r)[8]) {
  F32 q[8];  // q[4g + k]: 128-bit lane l holds column 4l + k of rows 4g .. 4g+3
#pragma GCC unroll 2
  for (int g = 0; g < 2; ++g) {
    const F32 t0 = _mm256_unpacklo_ps(r[4 * g], r[4 * g + 1]), t1 = _mm256_unpackhi_ps(r[4 * g], r[4 * g + 1]);
    const F32 t2 = _mm256_unpacklo_ps(r[4 * g + 2], r[4 * g + 3]), t3 = _mm256_unpackhi_ps(r[4 * g + 2], r[4 * g + 3]);
    q[4 * g] = _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(t0), _mm256_castps_pd(t2)));
    q[4 * g + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(t0), _mm256_castps_pd(t2)));
    q[4 * g + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(t1), _mm256_castps_pd(t3)));
    q[4 * g + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(t1), _mm256_castps_pd(t3)));
  }
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    r[k] = _mm256_permute2f128_ps(q[k], q[4 + k], 0x20);
    r[4 + k] = _mm256_permute2f128_ps(q[k], q[4 + k], 0x31);
  }
}
#else
CARNOT_INLINE void transpose_block(F32 (&r)[4]) { _MM_TRANSPOSE4_PS(r[0], r[1], r[2], r[3]); }
#endif

void transpose4(const void* in_, int64_t ld_in, void* out_, int64_t ld_out, int64_t rows, int64_t cols) {
  const float* in = static_cast<const float*>(in_);
  float* out = static_cast<float*>(out_);
  for (int64_t j = 0; j < cols; j += kLanes) {
    const int64_t width = cols - j < kLanes ? cols - j : kLanes;
    for (int64_t i = 0; i < rows; i += kLanes) {
      const int64_t height = rows - i < kLanes ? rows - i : kLanes;
      const float* from = in + i * ld_in + j;
      float* to = out + j * ld_out + i;
      F32 r[kLanes];
      if (width == kLanes && height == kLanes) {
#pragma GCC unroll 16
        for (int k = 0; k < kLanes; ++k) r[k] = load(from + k * ld_in);
        transpose_block(r);
#pragma GCC unroll 16
        for (int k = 0; k < kLanes; ++k) store(to + k * ld_out, r[k]);
        continue;
      }
      const Mask across = mask_first(width), down = mask_first(height);
#pragma GCC unroll 16
      for (int k = 0; k < kLanes; ++k) r[k] = k < height ? load_mask(from + k * ld_in, across) : zero();
      transpose_block(r);
#pragma GCC unroll 16
      for (int k = 0; k < kLanes; ++k)
        if (k < width) store_mask(to + k * ld_out, r[k], down);
    }
  }
}

// Blocks of one cache line by one cache line keep both sides in L1.
template <typename T>
void transpose_plain(const void* in_, int64_t ld_in, void* out_, int64_t ld_out, int64_t rows, int64_t cols) {
  constexpr int64_t kBlock = 64 / sizeof(T);
  const T* in = static_cast<const T*>(in_);
  T* out = static_cast<T*>(out_);
  for (int64_t j0 = 0; j0 < cols; j0 += kBlock)
    for (int64_t i0 = 0; i0 < rows; i0 += kBlock) {
      const int64_t i1 = i0 + kBlock < rows ? i0 + kBlock : rows, j1 = j0 + kBlock < cols ? j0 + kBlock : cols;
      for (int64_t j = j0; j < j1; ++j)
        for (int64_t i = i0; i < i1; ++i) out[j * ld_out + i] = in[i * ld_in + j];
    }
}
}  // namespace

void fill_transpose_table(TransposeTable& t) {
  t = {&transpose_plain<uint8_t>, &transpose_plain<uint16_t>, &transpose4, &transpose_plain<uint64_t>};
}

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
