// SPDX-License-Identifier: Apache-2.0
// What infer() and evaluate() of many operators share: checks whose messages name the operand, widened loads and
// rounded stores.
#pragma once
#include <span>

#include "ops/operator.hpp"

namespace carnot::ops {

// "input 1 ('w')"
std::string operand(const OpInfo& info, size_t i);

// Each passes when the operand is absent.
Status expect_float(const InferCtx& ctx, const OpInfo& info, size_t i);
Status expect_number(const InferCtx& ctx, const OpInfo& info, size_t i);  // floats and integers, no bool
Status expect_dtype(const InferCtx& ctx, const OpInfo& info, size_t i, DType dtype);
Status expect_same_dtype(const InferCtx& ctx, const OpInfo& info, size_t i, size_t as = 0);
Status expect_rank(const InferCtx& ctx, const OpInfo& info, size_t i, size_t rank);
// Input i's dim `axis` must be `needed`, which is `why`: "the channels of 'x'". Different symbols may be equal: the run
// checks.
Status expect_dim(const InferCtx& ctx, const OpInfo& info, size_t i, size_t axis, const Dim& needed,
                  std::string_view why);
// A vector of `needed` elements.
Status expect_vector(const InferCtx& ctx, const OpInfo& info, size_t i, const Dim& needed, std::string_view why);

// The elements rounded (floats) or cast (integers, wrapping) into `to`, which has as many.
void store(TensorView& to, std::span<const double> from);
void store(TensorView& to, std::span<const int64_t> from);

// Dims split at an axis: elements before, at and behind it.
struct AxisSplit {
  int64_t outer = 1, extent = 1, inner = 1;
};
AxisSplit split_at(const Dims& dims, int64_t axis);

// Where axis `axis` lies after a permutation (out axis i = in axis perm[i]); none if it is no axis of that rank.
std::optional<int64_t> permuted_axis(int64_t axis, const std::vector<int64_t>& perm);

}  // namespace carnot::ops
