// SPDX-License-Identifier: Apache-2.0
#include "ops/expect.hpp"

#include "ops/support_shape.hpp"

namespace carnot::ops {

Result<Facts> Expect::infer(const InferCtx& ctx) const {
  if (ctx.dtype(1) != DType::kBool) return invalid("input 1 ('cond') must be bool, it is {}", dtype_name(ctx.dtype(1)));
  const auto cond = ctx.ints(1);
  if (cond && cond->size() == 1 && ((*cond)[0] != 0) != (value != 0)) return invalid("{}", message);
  return Facts{ctx.facts(0)};
}

Status Expect::evaluate(EvalCtx& ctx) const {
  if (ctx.in[1].size() != 1) return invalid("input 1 ('cond') must hold one element, it has shape {}", to_string(ctx.in[1].dims));
  if (*ctx.in[1].as<bool>() != (value != 0)) return invalid("{}", message);
  return copy_bytes(ctx);
}

CARNOT_DEFINE_OPS(expect, Expect)

}  // namespace carnot::ops
