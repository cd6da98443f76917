// SPDX-License-Identifier: Apache-2.0
#include "ops/where.hpp"

#include "ops/pointwise.hpp"

namespace carnot::ops {

Result<Facts> Where::infer(const InferCtx& ctx) const {
  if (ctx.dtype(0) != DType::kBool) return invalid("input 0 ('condition') must be bool, got {}", dtype_name(ctx.dtype(0)));
  return infer_pointwise(PointwiseOp::kWhere, 0, 0, ctx);
}

Status Where::evaluate(EvalCtx& ctx) const { return evaluate_pointwise(PointwiseOp::kWhere, 0, 0, ctx); }

CARNOT_DEFINE_OPS(where, Where)

}  // namespace carnot::ops
