// SPDX-License-Identifier: Apache-2.0
// Pieces that the normalizations share.
#pragma once
#include <span>

#include "ops/support_check.hpp"

namespace carnot::ops {

// Input i must broadcast to `shape` without widening it.
Status expect_broadcasts_to(const InferCtx& ctx, const OpInfo& info, size_t i, const Shape& shape);
// The elements of `t` broadcast to `dims`.
Result<std::vector<double>> broadcast_doubles(const TensorView& t, const Dims& dims);

struct Moments {
  double mean = 0, variance = 0;  // biased
};
Moments moments(std::span<const double> values);

}  // namespace carnot::ops
