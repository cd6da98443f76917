// SPDX-License-Identifier: Apache-2.0
// The functions of contract.hpp. Included once by each of scalar.cpp, avx2.cpp and avx512.cpp.
#include "backends/cpu/kernels/reduce/contract.hpp"
#include "base/simd/vec.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {
using namespace carnot::simd::CARNOT_SIMD_ISA;

namespace {
template <ReduceStep kStep>
CARNOT_INLINE F32 neutral() {
  if constexpr (kStep == ReduceStep::kMax) return set1(-__builtin_inff());
  if constexpr (kStep == ReduceStep::kMin) return set1(__builtin_inff());
  return set1(kStep == ReduceStep::kMultiply ? 1.f : 0.f);
}
template <ReduceStep kStep>
CARNOT_INLINE F32 combine(F32 a, F32 b) {
  // NaN wins: min and max give their second argument then, so a NaN already found is put back.
  if constexpr (kStep == ReduceStep::kMax) return select(ne(a, a), a, max(a, b));
  if constexpr (kStep == ReduceStep::kMin) return select(ne(a, a), a, min(a, b));
  if constexpr (kStep == ReduceStep::kMultiply) return a * b;
  return a + b;
}
template <ReduceStep kStep>
CARNOT_INLINE F32 element(F32 x, F32 shift) {
  if constexpr (kStep == ReduceStep::kAddAbs) return abs(x);
  if constexpr (kStep == ReduceStep::kAddSquare) return x * x;
  if constexpr (kStep == ReduceStep::kAddExp) return exp(x - shift);
  return x;
}

constexpr int64_t kBlock = 8192;  // elements whose floats are added up before they become a double

template <ReduceStep kStep>
double fold(F32 s) {
  alignas(64) float t[kLanes];
  store(t, s);
  double total = t[0];
  for (int i = 1; i < kLanes; ++i) {
    const double x = t[i];
    if constexpr (kStep == ReduceStep::kMax) total = x > total || x != x ? x : total;
    else if constexpr (kStep == ReduceStep::kMin) total = x < total || x != x ? x : total;
    else if constexpr (kStep == ReduceStep::kMultiply) total *= x;
    else total += x;
  }
  return total;
}

template <ReduceStep kStep>
double run(const float* x, int64_t n, float shift_) {
  const F32 shift = set1(shift_);
  double total = fold<kStep>(neutral<kStep>());
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = n - begin < kBlock ? n : begin + kBlock;
    F32 s0 = neutral<kStep>(), s1 = s0, s2 = s0, s3 = s0;
    int64_t i = begin;
    for (; i + 4 * kLanes <= end; i += 4 * kLanes) {
      s0 = combine<kStep>(s0, element<kStep>(load(x + i), shift));
      s1 = combine<kStep>(s1, element<kStep>(load(x + i + kLanes), shift));
      s2 = combine<kStep>(s2, element<kStep>(load(x + i + 2 * kLanes), shift));
      s3 = combine<kStep>(s3, element<kStep>(load(x + i + 3 * kLanes), shift));
    }
    for (; i + kLanes <= end; i += kLanes) s0 = combine<kStep>(s0, element<kStep>(load(x + i), shift));
    if (i < end) {
      const Mask m = mask_first(end - i);
      s1 = combine<kStep>(s1, select(m, element<kStep>(load_mask(x + i, m), shift), neutral<kStep>()));
    }
    const double part = fold<kStep>(combine<kStep>(combine<kStep>(s0, s1), combine<kStep>(s2, s3)));
    if constexpr (kStep == ReduceStep::kMax) total = part > total || part != part ? part : total;
    else if constexpr (kStep == ReduceStep::kMin) total = part < total || part != part ? part : total;
    else if constexpr (kStep == ReduceStep::kMultiply) total *= part;
    else total += part;
  }
  return total;
}

template <ReduceStep kStep>
void columns(const float* x, int64_t rows, int64_t stride, int64_t width, const float* shift, float* acc) {
  if (width == kReduceColumns) {
    constexpr int kVectors = static_cast<int>(kReduceColumns) / kLanes, kGroup = kVectors < 4 ? kVectors : 4;
    for (int g = 0; g < kVectors; g += kGroup) {
      F32 s[kGroup], d[kGroup];
#pragma GCC unroll 4
      for (int k = 0; k < kGroup; ++k) {
        s[k] = neutral<kStep>();
        d[k] = shift ? load(shift + (g + k) * kLanes) : zero();
      }
      for (int64_t r = 0; r < rows; ++r)
#pragma GCC unroll 4
        for (int k = 0; k < kGroup; ++k) s[k] = combine<kStep>(s[k], element<kStep>(load(x + r * stride + (g + k) * kLanes), d[k]));
#pragma GCC unroll 4
      for (int k = 0; k < kGroup; ++k) store(acc + (g + k) * kLanes, combine<kStep>(load(acc + (g + k) * kLanes), s[k]));
    }
    return;
  }
  for (int64_t c = 0; c < width; c += kLanes) {
    const Mask m = mask_first(width - c);
    const F32 d = shift ? load_mask(shift + c, m) : zero();
    F32 s = neutral<kStep>();
    for (int64_t r = 0; r < rows; ++r) s = combine<kStep>(s, element<kStep>(load_mask(x + r * stride + c, m), d));
    store_mask(acc + c, combine<kStep>(load_mask(acc + c, m), s), m);
  }
}

template <ReduceStep kStep>
void fill(ReduceTable& t) {
  t.run[static_cast<int>(kStep)] = &run<kStep>;
  t.columns[static_cast<int>(kStep)] = &columns<kStep>;
}
}  // namespace

void fill_reduce_table(ReduceTable& t) {
  fill<ReduceStep::kAdd>(t);
  fill<ReduceStep::kMax>(t);
  fill<ReduceStep::kMin>(t);
  fill<ReduceStep::kMultiply>(t);
  fill<ReduceStep::kAddAbs>(t);
  fill<ReduceStep::kAddSquare>(t);
  fill<ReduceStep::kAddExp>(t);
}

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
