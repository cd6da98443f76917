// SPDX-License-Identifier: Apache-2.0
#include "ops/lstm.hpp"

#include "ops/support_recurrent.hpp"

namespace carnot::ops {

namespace {
constexpr std::string_view kActivations[] = {"Sigmoid", "Tanh", "Tanh"};

RecurrentAttrs attrs_of(const Lstm& op) {
  return {op.activations, op.activation_alpha, op.activation_beta, op.clip, op.direction, op.hidden_size, op.layout};
}
}  // namespace

Result<Facts> Lstm::infer(const InferCtx& ctx) const {
  return recurrent_facts(attrs_of(*this), info, ctx, 4, true, kActivations);
}

Status Lstm::evaluate(EvalCtx& ctx) const {
  return run_recurrent(attrs_of(*this), ctx, 4, true, kActivations, [&](const RecurrentStep& s) {
    const size_t n = s.hidden;
    const auto &f = s.activations[0], &g = s.activations[1], &h = s.activations[2];
    for (size_t k = 0; k < n; ++k) {
      auto gate = [&](size_t i) { return s.from_x[i * n + k] + s.from_h[i * n + k]; };
      const double in = f(gate(0) + s.peepholes[k] * s.c[k]);
      const double forget = input_forget ? 1 - in : f(gate(2) + s.peepholes[2 * n + k] * s.c[k]);
      s.c[k] = forget * s.c[k] + in * g(gate(3));
      const double out = f(gate(1) + s.peepholes[n + k] * s.c[k]);
      s.h[k] = out * h(s.c[k]);
    }
  });
}

CARNOT_DEFINE_OPS(lstm, Lstm)

}  // namespace carnot::ops
