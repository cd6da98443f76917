// SPDX-License-Identifier: Apache-2.0
// Reductions of a dense fp32 tensor over any set of axes.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/cpu_features.hpp"
#include "base/dims.hpp"

namespace carnot {
class ThreadPool;
}

namespace carnot::cpu {

enum class Reduction : uint8_t { kSum, kMean, kMax, kMin, kProd, kL1, kL2, kSumSquare, kLogSum, kLogSumExp };
// "sum", "mean", "max", "min", "prod", "l1", "l2", "sum_square", "log_sum", "log_sum_exp".
std::optional<Reduction> parse_reduction(std::string_view name);

// out = the input reduced over `axes` (each in [0, rank), no repeats), dense; whether reduced axes stay as 1 makes no difference here.
// An empty reduction gives the neutral element (mean: NaN).
Status run_reduce(Reduction reduction, const float* in, float* out, const Dims& dims, std::span<const int64_t> axes, ThreadPool& pool,
                  Isa isa = kernel_isa());

}  // namespace carnot::cpu
