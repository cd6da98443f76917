// SPDX-License-Identifier: Apache-2.0
// One SIMD vector of floats, the widest that the including file is compiled for.
//
// Kernels are written once, in a body file over this vocabulary, and compiled once per instruction set by including the
// body from scalar.cpp, avx2.cpp and avx512.cpp (flags by file name, see src/backends/cpu/CMakeLists.txt):
//
//   namespace carnot::cpu::CARNOT_SIMD_ISA {          // sse2, avx2 or avx512: one namespace per instruction set
//   using namespace carnot::simd::CARNOT_SIMD_ISA;
//   void scale(float* x, int64_t n, float s) {
//     int64_t i = 0;
//     for (; i + kLanes <= n; i += kLanes) store(x + i, load(x + i) * set1(s));
//     if (i < n) store_n(x + i, load_n(x + i, n - i) * set1(s), n - i);
//   }
//   }
//
// Everything here is always_inline and lives in a namespace named after the instruction set, so that two files compiled
// with different flags never share a symbol. For the same reason such files must not use std templates or inline
// functions of shared headers: the linker keeps one copy, and it may be the one that an old CPU cannot execute.
//
// load, store, load_mask and store_mask also take pointers to Half and Brain, floats of 16 bits that are converted on the way.
//
// F32 supports + - * / and unary - directly. Comparisons give a Mask (a bit per lane, or a full-width vector). min and
// max return their *second* argument if either is NaN: max(zero(), x) keeps NaN, max(x, zero()) drops it.
#pragma once
#include <immintrin.h>

#include <cstdint>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define CARNOT_SIMD_ISA avx512
#define CARNOT_SIMD_AVX512 1
#elif defined(__AVX2__) && defined(__FMA__)
#define CARNOT_SIMD_ISA avx2
#define CARNOT_SIMD_AVX2 1
#else
#define CARNOT_SIMD_ISA sse2
#define CARNOT_SIMD_SSE2 1
#endif
#define CARNOT_INLINE [[gnu::always_inline]] static inline

#if CARNOT_SIMD_AVX512
#include "base/simd/vec_avx512.hpp"
#elif CARNOT_SIMD_AVX2
#include "base/simd/vec_avx2.hpp"
#else
#include "base/simd/vec_sse2.hpp"
#endif

#include "base/simd/vec_half.hpp"
#include "base/simd/vec_math.hpp"
