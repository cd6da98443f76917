// SPDX-License-Identifier: Apache-2.0
#include "ops/identity.hpp"

#include "ops/support_shape.hpp"

namespace carnot::ops {

Result<Facts> Identity::infer(const InferCtx& ctx) const {
  ValueFacts out = ctx.facts(0);
  if (!out.values) out.values = ctx.values(0);
  return Facts{std::move(out)};
}

Status Identity::evaluate(EvalCtx& ctx) const { return copy_bytes(ctx); }

CARNOT_DEFINE_OPS(identity, Identity)

}  // namespace carnot::ops
