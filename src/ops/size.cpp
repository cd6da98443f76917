// SPDX-License-Identifier: Apache-2.0
#include "ops/size.hpp"

namespace carnot::ops {

Result<Facts> SizeOf::infer(const InferCtx& ctx) const { return Facts{{DType::kI64, {}, std::vector<Dim>{size_of(ctx.shape(0))}}}; }

Status SizeOf::evaluate(EvalCtx& ctx) const {
  *ctx.out[0].as<int64_t>() = ctx.in[0].size();
  return {};
}

CARNOT_DEFINE_OPS(size, SizeOf)

}  // namespace carnot::ops
