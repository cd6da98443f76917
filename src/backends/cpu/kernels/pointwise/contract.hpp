// SPDX-License-Identifier: Apache-2.0
// What an instruction set gives the tile interpreter: each row of base/pointwise.inc, each conversion and fill, as a function over a run
// of elements. Operands are dense arrays of lanes (see program.hpp); the result may be one of them.
#pragma once
#include <cstdint>

#include "backends/cpu/kernels/pointwise/program.hpp"
#include "base/cpu_features.hpp"

namespace carnot::cpu {

using RowFn = void (*)(const void* a, const void* b, const void* c, void* out, int64_t n, float alpha, float beta);
using ConvertFn = void (*)(const void* from, void* to, int64_t n);
// from + i * stride, stride in elements of the dtype
using StridedFn = void (*)(const void* from, int64_t stride, void* to, int64_t n);
inline constexpr int kDTypeCount = 17;

struct PointwiseTable {
  const char* name;
  Isa isa;
  RowFn rows[kPointwiseRowCount][kLaneKinds];   // null: the row does not take this lane
  ConvertFn casts[kLaneKinds][kDTypeCount];     // lane to the lane of the dtype, cut to the dtype's values
  ConvertFn loads[kDTypeCount];                 // elements in memory to lanes
  StridedFn strided_loads[kDTypeCount];         // the same with a stride, which may be 0: a fill
  ConvertFn stores[kDTypeCount];                // lanes to elements in memory; values must fit
};

// The table for this instruction set, or the best below it.
const PointwiseTable& pointwise_table(Isa isa = kernel_isa());

}  // namespace carnot::cpu
