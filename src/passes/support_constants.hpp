// SPDX-License-Identifier: Apache-2.0
// Arithmetic on weights at build time, in double and rounded once.
#pragma once
#include <optional>
#include <vector>

#include "ir/graph.hpp"

namespace carnot::passes {

std::vector<double> doubles_of(const Constant& constant);
Constant from_doubles(DType dtype, Dims dims, const std::vector<double>& values);

// The elements that a constant gives to each of `channels` places of axis `axis` of a tensor of this rank, when it broadcasts into
// that tensor and varies along that axis alone: [C,1,1] or [1] against [n,C,h,w] with axis 1.
std::optional<std::vector<double>> per_channel(const ir::Value* value, size_t rank, size_t axis, int64_t channels);

// The constant with its axes permuted: out axis i = in axis perm[i].
Constant transposed(const Constant& constant, const std::vector<int64_t>& perm);

}  // namespace carnot::passes
