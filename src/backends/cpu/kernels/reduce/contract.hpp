// SPDX-License-Identifier: Apache-2.0
// The inner loops of a reduction. Steps combine elements into a running result; `shift` is subtracted from an element before kExp.
#pragma once
#include <cstdint>

#include "base/cpu_features.hpp"

namespace carnot::cpu {

enum class ReduceStep : uint8_t { kAdd, kMax, kMin, kMultiply, kAddAbs, kAddSquare, kAddExp };
inline constexpr int kReduceSteps = 7;
inline constexpr int64_t kReduceColumns = 64;

struct ReduceTable {
  // Result over n adjoining elements.
  double (*run[kReduceSteps])(const float* x, int64_t n, float shift);
  // acc[c] = step(acc[c], x[r * stride + c]) for r < rows, c < width <= kReduceColumns; shift has one element per column (kAddExp alone).
  void (*columns[kReduceSteps])(const float* x, int64_t rows, int64_t stride, int64_t width, const float* shift, float* acc);
};
const ReduceTable& reduce_table(Isa isa);

}  // namespace carnot::cpu
