// SPDX-License-Identifier: Apache-2.0
#include "ops/gru.hpp"

#include "ops/support_recurrent.hpp"

namespace carnot::ops {

namespace {
constexpr std::string_view kActivations[] = {"Sigmoid", "Tanh"};

RecurrentAttrs attrs_of(const Gru& op) {
  return {op.activations, op.activation_alpha, op.activation_beta, op.clip, op.direction, op.hidden_size, op.layout};
}
}  // namespace

Result<Facts> Gru::infer(const InferCtx& ctx) const {
  return recurrent_facts(attrs_of(*this), info, ctx, 3, false, kActivations);
}

Status Gru::evaluate(EvalCtx& ctx) const {
  return run_recurrent(attrs_of(*this), ctx, 3, false, kActivations, [&](const RecurrentStep& s) {
    const size_t n = s.hidden;
    const auto &f = s.activations[0], &g = s.activations[1];
    std::vector<double> update(n), reset(n), candidate(n);
    for (size_t k = 0; k < n; ++k) {
      update[k] = f(s.from_x[k] + s.from_h[k]);
      reset[k] = f(s.from_x[n + k] + s.from_h[n + k]);
    }
    for (size_t k = 0; k < n; ++k) {
      double hidden = reset[k] * s.from_h[2 * n + k];
      if (!linear_before_reset) {
        hidden = s.r_bias[2 * n + k];
        for (size_t i = 0; i < n; ++i) hidden += s.r[(2 * n + k) * n + i] * reset[i] * s.h[i];
      }
      candidate[k] = g(s.from_x[2 * n + k] + hidden);
    }
    for (size_t k = 0; k < n; ++k) s.h[k] = (1 - update[k]) * candidate[k] + update[k] * s.h[k];
  });
}

CARNOT_DEFINE_OPS(gru, Gru)

}  // namespace carnot::ops
