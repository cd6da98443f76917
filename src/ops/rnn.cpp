// SPDX-License-Identifier: Apache-2.0
#include "ops/rnn.hpp"

#include "ops/support_recurrent.hpp"

namespace carnot::ops {

namespace {
constexpr std::string_view kActivations[] = {"Tanh"};

RecurrentAttrs attrs_of(const Rnn& op) {
  return {op.activations, op.activation_alpha, op.activation_beta, op.clip, op.direction, op.hidden_size, op.layout};
}
}  // namespace

Result<Facts> Rnn::infer(const InferCtx& ctx) const {
  return recurrent_facts(attrs_of(*this), info, ctx, 1, false, kActivations);
}

Status Rnn::evaluate(EvalCtx& ctx) const {
  return run_recurrent(attrs_of(*this), ctx, 1, false, kActivations, [&](const RecurrentStep& s) {
    for (size_t k = 0; k < s.hidden; ++k) s.h[k] = s.activations[0](s.from_x[k] + s.from_h[k]);
  });
}

CARNOT_DEFINE_OPS(rnn, Rnn)

}  // namespace carnot::ops
