// SPDX-License-Identifier: Apache-2.0
// The functions of base/simd as plain function pointers, one table per instruction set.
#pragma once
#include <cstdint>

namespace carnot::simd {
struct VecTable {
  using Unary = void (*)(const float* x, float* y, int64_t n);
  int lanes;
  Unary exp, log, tanh, erf, sigmoid, round, floor, ceil, trunc, sqrt;
  float (*sum)(const float* x, int64_t n);
  float (*largest)(const float* x);   // of one vector
  float (*smallest)(const float* x);  // of one vector
  Unary masked;                       // copies the first n lanes of one vector
  void (*select_less)(const float* a, const float* b, float* y);
  void (*max_zero)(const float* a, float* y);  // max(zero(), a) of one vector
  void (*gather)(const float* p, const int32_t* index, float* y);
};
}  // namespace carnot::simd
