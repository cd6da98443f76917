// SPDX-License-Identifier: Apache-2.0
// The functions of contract.hpp. Included once by each of scalar.cpp, avx2.cpp and avx512.cpp.
#include "backends/cpu/kernels/softmax/contract.hpp"
#include "base/simd/vec.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {
using namespace carnot::simd::CARNOT_SIMD_ISA;

namespace {
template <bool kMasked>
CARNOT_INLINE F32 term(const float* in, const float* mask, F32 scale, int64_t i) {
  if constexpr (kMasked) return fma(load(in + i), scale, load(mask + i));
  return load(in + i) * scale;
}
template <bool kMasked>
CARNOT_INLINE F32 term(const float* in, const float* mask, F32 scale, int64_t i, Mask m) {
  if constexpr (kMasked) return fma(load_mask(in + i, m), scale, load_mask(mask + i, m));
  return load_mask(in + i, m) * scale;
}

// Three passes over a row that stays in L1: maximum, exponentials and their sum, division.
template <bool kMasked>
CARNOT_INLINE void softmax_row(const float* in, const float* mask, float scale_, float* out, int64_t n, bool log_) {
  const F32 scale = set1(scale_), low = set1(-__builtin_inff());
  const int64_t whole = n / kLanes * kLanes;
  const Mask tail = mask_first(n - whole);
  F32 top0 = low, top1 = low;
  int64_t i = 0;
  for (; i + 2 * kLanes <= whole; i += 2 * kLanes) {
    top0 = max(top0, term<kMasked>(in, mask, scale, i));
    top1 = max(top1, term<kMasked>(in, mask, scale, i + kLanes));
  }
  if (i < whole) top0 = max(top0, term<kMasked>(in, mask, scale, i));
  if (whole < n) top1 = max(top1, select(tail, term<kMasked>(in, mask, scale, whole, tail), low));
  const F32 top = set1(reduce_max(max(top0, top1)));
  F32 sum0 = zero(), sum1 = zero();
  for (i = 0; i + 2 * kLanes <= whole; i += 2 * kLanes) {
    const F32 t0 = term<kMasked>(in, mask, scale, i) - top, t1 = term<kMasked>(in, mask, scale, i + kLanes) - top;
    const F32 e0 = exp(t0), e1 = exp(t1);
    sum0 = sum0 + e0;
    sum1 = sum1 + e1;
    store(out + i, log_ ? t0 : e0);
    store(out + i + kLanes, log_ ? t1 : e1);
  }
  if (i < whole) {
    const F32 t = term<kMasked>(in, mask, scale, i) - top, e = exp(t);
    sum0 = sum0 + e;
    store(out + i, log_ ? t : e);
  }
  if (whole < n) {
    const F32 t = term<kMasked>(in, mask, scale, whole, tail) - top, e = select(tail, exp(t), zero());
    sum1 = sum1 + e;
    store_mask(out + whole, log_ ? t : e, tail);
  }
  const float sum = reduce_add(sum0 + sum1);
  if (log_) {
    const F32 l = log(set1(sum));
    for (i = 0; i < whole; i += kLanes) store(out + i, load(out + i) - l);
    if (whole < n) store_mask(out + whole, load_mask(out + whole, tail) - l, tail);
  } else {
    const F32 r = set1(1.f / sum);
    for (i = 0; i < whole; i += kLanes) store(out + i, load(out + i) * r);
    if (whole < n) store_mask(out + whole, load_mask(out + whole, tail) * r, tail);
  }
}

void row(const float* in, const float* mask, float scale, float* out, int64_t n, bool log_) {
  if (mask)
    softmax_row<true>(in, mask, scale, out, n, log_);
  else
    softmax_row<false>(in, nullptr, scale, out, n, log_);
}

void columns(const float* in, float* out, int64_t axis, int64_t stride, int64_t width, bool log_) {
  for (int64_t c = 0; c < width; c += kLanes) {
    const Mask m = mask_first(width - c);
    F32 top = set1(-__builtin_inff()), sum = zero();
    for (int64_t a = 0; a < axis; ++a) top = max(top, load_mask(in + a * stride + c, m));
    for (int64_t a = 0; a < axis; ++a) {
      const F32 t = load_mask(in + a * stride + c, m) - top, e = exp(t);
      sum = sum + e;
      store_mask(out + a * stride + c, log_ ? t : e, m);
    }
    const F32 last = log_ ? log(sum) : set1(1.f) / sum;
    for (int64_t a = 0; a < axis; ++a) {
      float* p = out + a * stride + c;
      store_mask(p, log_ ? load_mask(p, m) - last : load_mask(p, m) * last, m);
    }
  }
}
}  // namespace

void fill_softmax_table(SoftmaxTable& t) { t = {&row, &columns}; }

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
