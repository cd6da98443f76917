// SPDX-License-Identifier: Apache-2.0
#include "ops/if_op.hpp"

namespace carnot::ops {

Result<Facts> If::infer(const InferCtx& ctx) const {
  if (ctx.dtype(0) != DType::kBool) return invalid("input 0 ('cond') must be bool, got {}", dtype_name(ctx.dtype(0)));
  std::vector<ValueFacts> captures;
  for (size_t i = 1; i < ctx.inputs(); ++i) captures.push_back(ctx.facts(i));
  CARNOT_ASSIGN(const Facts yes, ctx.infer_body(0, captures));
  CARNOT_ASSIGN(const Facts no, ctx.infer_body(1, captures));
  if (yes.size() != no.size()) return invalid("the branches give {} and {} results", yes.size(), no.size());
  Facts out;
  for (size_t i = 0; i < yes.size(); ++i) {
    if (yes[i].dtype != no[i].dtype) return invalid("result {} is {} in one branch and {} in the other", i, dtype_name(yes[i].dtype), dtype_name(no[i].dtype));
    // A rank that differs cannot be written as a shape. With a known condition the other branch does not matter.
    if (auto cond = ctx.ints(0); cond && cond->size() == 1) {
      out.push_back((*cond)[0] ? yes[i] : no[i]);
      continue;
    }
    if (yes[i].shape.size() != no[i].shape.size())
      return fail(Code::kUnsupported, "result {} has shape {} in one branch and {} in the other: ranks must agree", i, to_string(yes[i].shape), to_string(no[i].shape));
    ValueFacts f{yes[i].dtype, {}};
    for (size_t d = 0; d < yes[i].shape.size(); ++d) f.shape.push_back(yes[i].shape[d] == no[i].shape[d] ? yes[i].shape[d] : ctx.fresh("if"));
    if (yes[i].values && no[i].values && *yes[i].values == *no[i].values) f.values = yes[i].values;
    out.push_back(std::move(f));
  }
  return out;
}

Status If::evaluate(EvalCtx& ctx) const {
  if (ctx.in[0].size() != 1) return invalid("input 0 ('cond') must hold one bool, got shape {}", to_string(ctx.in[0].dims));
  const size_t branch = *ctx.in[0].as<bool>() ? 0 : 1;
  CARNOT_ASSIGN(const std::vector<TensorView> results, ctx.run_body(branch, ctx.in.subspan(1)));
  if (results.size() < ctx.out.size()) return fail(Code::kInternal, "a branch gives {} results, {} are wanted", results.size(), ctx.out.size());
  for (size_t i = 0; i < ctx.out.size(); ++i) {
    if (!ctx.wants(i)) continue;
    CARNOT_RETURN_IF_ERROR(ctx.allocate(i, results[i].dims));
    if (results[i].bytes() > 0) std::memcpy(ctx.out[i].data, results[i].data, results[i].bytes());
  }
  return {};
}

CARNOT_DEFINE_OPS(if_op, If)

}  // namespace carnot::ops
