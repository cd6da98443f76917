// SPDX-License-Identifier: Apache-2.0
#include "ops/flatten.hpp"

#include "ops/support_shape.hpp"

namespace carnot::ops {

Result<Facts> Flatten::infer(const InferCtx& ctx) const {
  const Shape& x = ctx.shape(0);
  const auto rank = static_cast<int64_t>(x.size());
  if (axis < -rank || axis > rank) return invalid("axis {} is outside [{}, {}]", axis, -rank, rank);
  const auto split = x.begin() + (axis < 0 ? axis + rank : axis);
  return Facts{{ctx.dtype(0), {size_of(Shape(x.begin(), split)), size_of(Shape(split, x.end()))}}};
}

Status Flatten::evaluate(EvalCtx& ctx) const { return copy_bytes(ctx); }

CARNOT_DEFINE_OPS(flatten, Flatten)

}  // namespace carnot::ops
