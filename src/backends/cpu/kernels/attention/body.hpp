// SPDX-License-Identifier: Apache-2.0
// The functions of contract.hpp. Included once by each of scalar.cpp, avx2.cpp and avx512.cpp.
#include "backends/cpu/kernels/attention/contract.hpp"
#include "base/simd/vec.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {
using namespace carnot::simd::CARNOT_SIMD_ISA;

namespace {
constexpr float kLow = -__builtin_inff();

template <bool kMasked>
CARNOT_INLINE F32 term(const float* s, const float* mask, F32 scale, int64_t i) {
  if constexpr (kMasked) return fma(load(s + i), scale, load(mask + i));
  return load(s + i) * scale;
}
template <bool kMasked>
CARNOT_INLINE F32 term(const float* s, const float* mask, F32 scale, int64_t i, Mask m) {
  if constexpr (kMasked) return fma(load_mask(s + i, m), scale, load_mask(mask + i, m));
  return load_mask(s + i, m) * scale;
}

template <bool kMasked>
CARNOT_INLINE float row_weights(float* s, const float* mask, float scale_, int64_t n, RunningSoftmax* running) {
  const F32 scale = set1(scale_), low = set1(kLow);
  const int64_t whole = n / kLanes * kLanes;
  const Mask tail = mask_first(n - whole);
  F32 top0 = low, top1 = low, top2 = low, top3 = low;
  int64_t i = 0;
  for (; i + 4 * kLanes <= whole; i += 4 * kLanes) {
    top0 = max(top0, term<kMasked>(s, mask, scale, i));
    top1 = max(top1, term<kMasked>(s, mask, scale, i + kLanes));
    top2 = max(top2, term<kMasked>(s, mask, scale, i + 2 * kLanes));
    top3 = max(top3, term<kMasked>(s, mask, scale, i + 3 * kLanes));
  }
  for (; i < whole; i += kLanes) top0 = max(top0, term<kMasked>(s, mask, scale, i));
  if (whole < n) top1 = max(top1, select(tail, term<kMasked>(s, mask, scale, whole, tail), low));
  const float before = running->top, here = reduce_max(max(max(top0, top1), max(top2, top3)));
  const float most = here > before ? here : before;
  // While all scores are -inf there is nothing to subtract: the weights are 0 then, not NaN, so that later keys may
  // still come.
  const float base_ = most == kLow ? 0.f : most;
  const F32 base = set1(base_);
  F32 sum0 = zero(), sum1 = zero();
  for (i = 0; i + 2 * kLanes <= whole; i += 2 * kLanes) {
    const F32 e0 = exp(term<kMasked>(s, mask, scale, i) - base),
              e1 = exp(term<kMasked>(s, mask, scale, i + kLanes) - base);
    sum0 = sum0 + e0;
    sum1 = sum1 + e1;
    store(s + i, e0);
    store(s + i + kLanes, e1);
  }
  if (i < whole) {
    const F32 e = exp(term<kMasked>(s, mask, scale, i) - base);
    sum0 = sum0 + e;
    store(s + i, e);
  }
  if (whole < n) {
    const F32 e = select(tail, exp(term<kMasked>(s, mask, scale, whole, tail) - base), zero());
    sum1 = sum1 + e;
    store_mask(s + whole, e, tail);
  }
  float factor = 1;
  if (before != base_) {
    float lanes[kLanes];
    store(lanes, exp(set1(before - base_)));
    factor = lanes[0];
  }
  running->top = most;
  running->sum = running->sum * factor + reduce_add(sum0 + sum1);
  return factor;
}

float weights(float* s, const float* mask, float scale, int64_t n, RunningSoftmax* running) {
  return mask ? row_weights<true>(s, mask, scale, n, running) : row_weights<false>(s, nullptr, scale, n, running);
}

void multiply(float* y, float factor, int64_t n) {
  const F32 f = set1(factor);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, load(y + i) * f);
  if (i < n) store_n(y + i, load_n(y + i, n - i) * f, n - i);
}

// kKeys keys side by side, so that the additions of one do not wait for each other.
template <int kKeys>
CARNOT_INLINE void some_dots(const float* q, const float* k, int64_t stride, int64_t size, float* out) {
  F32 acc[kKeys];
#pragma GCC unroll 8
  for (int j = 0; j < kKeys; ++j) acc[j] = zero();
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    const F32 x = load(q + i);
#pragma GCC unroll 8
    for (int j = 0; j < kKeys; ++j) acc[j] = fma(x, load(k + j * stride + i), acc[j]);
  }
  if (i < size) {
    const Mask m = mask_first(size - i);
    const F32 x = load_mask(q + i, m);
#pragma GCC unroll 8
    for (int j = 0; j < kKeys; ++j) acc[j] = fma(x, load_mask(k + j * stride + i, m), acc[j]);
  }
#pragma GCC unroll 8
  for (int j = 0; j < kKeys; ++j) out[j] = reduce_add(acc[j]);
}

void dots(const float* q, const float* k, int64_t stride, int64_t size, float* out, int64_t n) {
  int64_t j = 0;
  for (; j + 8 <= n; j += 8) some_dots<8>(q, k + j * stride, stride, size, out + j);
  for (; j < n; ++j) some_dots<1>(q, k + j * stride, stride, size, out + j);
}

template <int kVectors>
CARNOT_INLINE void sum_vectors(const float* w, const float* v, int64_t stride, int64_t n, float* y) {
  F32 a[kVectors], b[kVectors];
#pragma GCC unroll 8
  for (int c = 0; c < kVectors; ++c) a[c] = b[c] = zero();
  int64_t j = 0;
  for (; j + 2 <= n; j += 2) {
    const F32 w0 = set1(w[j]), w1 = set1(w[j + 1]);
    const float *v0 = v + j * stride, *v1 = v0 + stride;
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c) {
      a[c] = fma(w0, load(v0 + c * kLanes), a[c]);
      b[c] = fma(w1, load(v1 + c * kLanes), b[c]);
    }
  }
  if (j < n) {
    const F32 w0 = set1(w[j]);
#pragma GCC unroll 8
    for (int c = 0; c < kVectors; ++c) a[c] = fma(w0, load(v + j * stride + c * kLanes), a[c]);
  }
#pragma GCC unroll 8
  for (int c = 0; c < kVectors; ++c) store(y + c * kLanes, a[c] + b[c]);
}

void weighted_sum(const float* w, const float* v, int64_t stride, int64_t n, float* y, int64_t size) {
  int64_t i = 0;
  for (; i + 4 * kLanes <= size; i += 4 * kLanes) sum_vectors<4>(w, v + i, stride, n, y + i);
  for (; i + kLanes <= size; i += kLanes) sum_vectors<1>(w, v + i, stride, n, y + i);
  if (i == size) return;
  const Mask m = mask_first(size - i);
  F32 acc = zero();
  for (int64_t j = 0; j < n; ++j) acc = fma(set1(w[j]), load_mask(v + j * stride + i, m), acc);
  store_mask(y + i, acc, m);
}

void apply_bool(const uint8_t* keep, int64_t stride, float fill, float* scores, float* mask, int64_t n) {
  if (stride == 1) {
    for (int64_t j = 0; j < n; ++j) {
      mask[j] = keep[j] ? 0.f : fill;
      scores[j] = keep[j] ? scores[j] : 0.f;
    }
    return;
  }
  for (int64_t j = 0; j < n; ++j) {
    const bool kept = keep[j * stride] != 0;
    mask[j] = kept ? 0.f : fill;
    scores[j] = kept ? scores[j] : 0.f;
  }
}

}  // namespace

void fill_attention_table(AttentionTable& t) { t = {&weights, &multiply, &dots, &weighted_sum, &apply_bool}; }

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
