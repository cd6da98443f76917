// SPDX-License-Identifier: Apache-2.0
// Helpers of operators that move or reshape elements.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

// out[0] receives the bytes of in[0]; both have the same number of elements.
Status copy_bytes(EvalCtx& ctx);

// Axes from a 1-D integer operand, each normalised into [0, rank) and none twice; error names the operand.
Result<std::vector<int64_t>> normalize_axes(const std::vector<int64_t>& axes, size_t rank, size_t operand);

// Advances a row-major multi-index; false when it wraps around to all zeros.
bool next_index(std::vector<int64_t>& index, const Dims& dims);

// ctx.facts(i) with a fresh symbol for each of `rank` dims.
Shape fresh_shape(const InferCtx& ctx, size_t rank, std::string_view hint);

// The number of elements of a 1-D operand if it is known.
std::optional<int64_t> known_length(const InferCtx& ctx, size_t operand);

}  // namespace carnot::ops
