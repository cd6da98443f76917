// SPDX-License-Identifier: Apache-2.0
#include "ops/group.hpp"

namespace carnot::ops {

Result<Facts> Group::infer(const InferCtx& ctx) const {
  std::vector<ValueFacts> in;
  for (size_t i = 0; i < ctx.inputs(); ++i) {
    if (!ctx.has(i)) return invalid("input {} of a group may not be absent", i);
    in.push_back(ctx.facts(i));
  }
  return ctx.infer_body(0, in);
}

Status Group::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(const std::vector<TensorView> results, ctx.run_body(0, ctx.in));
  if (results.size() < ctx.out.size()) return fail(Code::kInternal, "the body of a group gives {} results, {} are wanted", results.size(), ctx.out.size());
  for (size_t i = 0; i < ctx.out.size(); ++i) {
    if (!ctx.wants(i)) continue;
    CARNOT_RETURN_IF_ERROR(ctx.allocate(i, results[i].dims));
    if (results[i].bytes() > 0) std::memcpy(ctx.out[i].data, results[i].data, results[i].bytes());
  }
  return {};
}

CARNOT_DEFINE_OPS(group, Group)

}  // namespace carnot::ops
