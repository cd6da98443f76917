// SPDX-License-Identifier: Apache-2.0
#include "ops/dropout.hpp"

#include <algorithm>

namespace carnot::ops {

Result<Facts> Dropout::infer(const InferCtx& ctx) const {
  if (auto training = ctx.ints(2); ctx.has(2) && training && !training->empty() && (*training)[0] != 0)
    return invalid("input 2 ('training_mode') is true: this is an inference runtime; export the model in eval mode");
  return Facts{ctx.facts(0), {DType::kBool, ctx.shape(0)}};
}

Status Dropout::evaluate(EvalCtx& ctx) const {
  if (ctx.in[0].bytes() > 0) std::memcpy(ctx.out[0].data, ctx.in[0].data, ctx.in[0].bytes());
  if (ctx.wants(1)) std::fill_n(ctx.out[1].as<bool>(), ctx.out[1].size(), true);
  return {};
}

CARNOT_DEFINE_OPS(dropout, Dropout)

}  // namespace carnot::ops
