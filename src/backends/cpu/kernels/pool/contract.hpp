// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "base/cpu_features.hpp"

namespace carnot::cpu {

// The part of a window that lies in the input: count[i] taps, step[i] elements apart, along each axis.
struct PoolWindow {
  const float* first = nullptr;
  int64_t count[3] = {1, 1, 1};
  int64_t step[3] = {0, 0, 0};
};
struct PoolTable {
  void (*max)(const PoolWindow& window, int64_t channels, float* out);
  void (*sum)(const PoolWindow& window, int64_t channels, float scale, float* out);  // scale * sum
};
const PoolTable& pool_table(Isa isa);

}  // namespace carnot::cpu
