// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>

#include "backends/cpu/kernels/resize/resize.hpp"

namespace carnot::cpu {

struct ResizeTable {
  // out[i] = sum over t of weight[t] * from[t][i], i < n
  void (*weighted_sum)(const float* const* from, const float* weight, int taps, int64_t n, float* out);
  // out[o] = sum over t of axis.weight[t, o] * in[axis.index[t, o]]
  void (*along)(const float* in, const ResizeAxis& axis, float* out);
};
const ResizeTable& resize_table(Isa isa);

}  // namespace carnot::cpu
