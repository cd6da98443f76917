// SPDX-License-Identifier: Apache-2.0
// The functions of contract.hpp. Included once by each of scalar.cpp, avx2.cpp and avx512.cpp.
#include "backends/cpu/kernels/norm/contract.hpp"
#include "base/simd/vec.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {
using namespace carnot::simd::CARNOT_SIMD_ISA;

namespace {
// fn(vector of elements, lanes beyond n are 0 and masked) summed over n elements; four sums hide the latency of the addition.
template <typename Fn>
CARNOT_INLINE float sum_of(const float* x, int64_t n, const Fn& fn) {
  F32 s0 = zero(), s1 = zero(), s2 = zero(), s3 = zero();
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    s0 = s0 + fn(load(x + i));
    s1 = s1 + fn(load(x + i + kLanes));
    s2 = s2 + fn(load(x + i + 2 * kLanes));
    s3 = s3 + fn(load(x + i + 3 * kLanes));
  }
  for (; i + kLanes <= n; i += kLanes) s0 = s0 + fn(load(x + i));
  if (i < n) {
    const Mask m = mask_first(n - i);
    s1 = s1 + select(m, fn(load_mask(x + i, m)), zero());
  }
  return reduce_add((s0 + s1) + (s2 + s3));
}

// Long sums are taken in blocks whose floats are added up as doubles.
constexpr int64_t kBlock = 8192;
template <typename Fn>
CARNOT_INLINE double long_sum_of(const float* x, int64_t n, const Fn& fn) {
  double total = 0;
  for (int64_t i = 0; i < n; i += kBlock) total += static_cast<double>(sum_of(x + i, n - i < kBlock ? n - i : kBlock, fn));
  return total;
}

double sum(const float* x, int64_t n) {
  return long_sum_of(x, n, [](F32 v) __attribute__((always_inline)) { return v; });
}
double squares(const float* x, int64_t n, float mean) {
  const F32 m = set1(mean);
  return long_sum_of(x, n, [m](F32 v) __attribute__((always_inline)) {
    const F32 d = v - m;
    return d * d;
  });
}

void affine(const float* in, float a_, float b_, float* out, int64_t n) {
  const F32 a = set1(a_), b = set1(b_);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(out + i, fma(load(in + i), a, b));
  if (i < n) store_n(out + i, fma(load_n(in + i, n - i), a, b), n - i);
}

void row(const RowNorm& p, int64_t r) {
  const float* x = p.in + r * p.ld_in;
  float* y = p.out + r * p.ld_out;
  const int64_t n = p.cols;
  if (p.residual) {
    // The sum is read again below: from its own output, or from y, which nobody else needs yet.
    const float* add = p.residual + r * p.ld_residual;
    float* to = p.sum ? p.sum + r * p.ld_sum : y;
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(to + i, load(x + i) + load(add + i));
    if (i < n) store_n(to + i, load_n(x + i, n - i) + load_n(add + i, n - i), n - i);
    x = to;
  }
  const float mean = p.rms ? 0.f : static_cast<float>(sum(x, n) / static_cast<double>(n));
  const float variance = static_cast<float>(squares(x, n, mean) / static_cast<double>(n));
  const float inverse = 1.f / __builtin_sqrtf(variance + p.epsilon);
  const F32 k = set1(inverse), m = set1(mean);
  auto value = [&](F32 v, F32 scale, F32 bias) __attribute__((always_inline)) { return fma((v - m) * k, scale, bias); };
  const F32 one = set1(1.f);
  int64_t i = 0;
  if (p.scale && p.bias) {
    for (; i + kLanes <= n; i += kLanes) store(y + i, value(load(x + i), load(p.scale + i), load(p.bias + i)));
  } else {
    for (; i + kLanes <= n; i += kLanes)
      store(y + i, value(load(x + i), p.scale ? load(p.scale + i) : one, p.bias ? load(p.bias + i) : zero()));
  }
  if (i < n) {
    const Mask tail = mask_first(n - i);
    store_mask(y + i, value(load_mask(x + i, tail), p.scale ? load_mask(p.scale + i, tail) : one, p.bias ? load_mask(p.bias + i, tail) : zero()), tail);
  }
}

constexpr int kColumnVectors = static_cast<int>(kNormColumns) / kLanes;
constexpr int64_t kColumnRows = 256;  // rows whose floats are added up before they become doubles

// sums[c] = sum over rows of fn(element, vector index). kFull: all kNormColumns columns are there.
template <bool kFull, typename Fn>
CARNOT_INLINE void column_sums_of(const float* x, int64_t pixels, int64_t stride, int64_t width, double* sums, const Fn& fn) {
  for (int64_t c = 0; c < width; ++c) sums[c] = 0;
  for (int64_t p = 0; p < pixels; p += kColumnRows) {
    const int64_t rows = pixels - p < kColumnRows ? pixels - p : kColumnRows;
    const float* from = x + p * stride;
    alignas(64) float part[kNormColumns];
    if constexpr (kFull) {
      constexpr int kGroup = kColumnVectors < 8 ? kColumnVectors : 8;
      for (int g = 0; g < kColumnVectors; g += kGroup) {
        F32 s[kGroup];
#pragma GCC unroll 8
        for (int k = 0; k < kGroup; ++k) s[k] = zero();
        for (int64_t r = 0; r < rows; ++r)
#pragma GCC unroll 8
          for (int k = 0; k < kGroup; ++k) s[k] = s[k] + fn(load(from + r * stride + (g + k) * kLanes), g + k);
#pragma GCC unroll 8
        for (int k = 0; k < kGroup; ++k) store(part + (g + k) * kLanes, s[k]);
      }
    } else {
      for (int k = 0; k * kLanes < width; ++k) {
        const Mask m = mask_first(width - k * kLanes);
        F32 s = zero();
        for (int64_t r = 0; r < rows; ++r) s = s + fn(load_mask(from + r * stride + k * kLanes, m), k);
        store(part + k * kLanes, s);
      }
    }
    for (int64_t c = 0; c < width; ++c) sums[c] += static_cast<double>(part[c]);
  }
}

void column_sums(const float* x, int64_t pixels, int64_t stride, int64_t width, double* sums) {
  const auto fn = [](F32 v, int) __attribute__((always_inline)) { return v; };
  if (width == kNormColumns)
    column_sums_of<true>(x, pixels, stride, width, sums, fn);
  else
    column_sums_of<false>(x, pixels, stride, width, sums, fn);
}
void column_squares(const float* x, int64_t pixels, int64_t stride, int64_t width, const float* means, double* sums) {
  alignas(64) float mean[kNormColumns] = {};
  for (int64_t c = 0; c < width; ++c) mean[c] = means[c];
  const auto fn = [&](F32 v, int k) __attribute__((always_inline)) {
    const F32 d = v - load(mean + k * kLanes);
    return d * d;
  };
  if (width == kNormColumns)
    column_sums_of<true>(x, pixels, stride, width, sums, fn);
  else
    column_sums_of<false>(x, pixels, stride, width, sums, fn);
}
void column_affine(const float* in, float* out, int64_t pixels, int64_t stride, int64_t width, const float* a, const float* b) {
  for (int64_t p = 0; p < pixels; ++p) {
    const float* x = in + p * stride;
    float* y = out + p * stride;
    int64_t c = 0;
    for (; c + kLanes <= width; c += kLanes) store(y + c, fma(load(x + c), load(a + c), load(b + c)));
    if (c < width) {
      const Mask m = mask_first(width - c);
      store_mask(y + c, fma(load_mask(x + c, m), load_mask(a + c, m), load_mask(b + c, m)), m);
    }
  }
}
}  // namespace

void fill_norm_table(NormTable& t) { t = {&row, &sum, &squares, &affine, &column_sums, &column_squares, &column_affine}; }

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
