// SPDX-License-Identifier: Apache-2.0
// Gated recurrent unit. Gates z, r, h in w [directions, 3*hidden, input] and r [directions, 3*hidden, hidden]; b holds
// both biases:
//   z = f(Wz x + Rz h)   r = f(Wr x + Rr h)   n = g(Wh x + Rh (r*h))   h' = (1 - z)*n + z*h
// with linear_before_reset n = g(Wh x + r*(Rh h)). Behind a sequence's length y is 0 and the state stays. Source: ONNX
// GRU 7, 14, 22.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Gru {
  static constexpr OpInfo info{.name = "gru",
                               .inputs = {"x", "w", "r", "b?", "sequence_lens?", "initial_h?"},
                               .outputs = {"y?", "y_h?"},
                               .onnx = {{"GRU", 7}}};
  std::vector<double> activation_alpha, activation_beta;
  std::vector<std::string> activations;  // empty: Sigmoid, Tanh
  std::optional<double> clip;            // bound on the argument of every activation
  std::string direction = "forward";     // or "reverse", "bidirectional"
  std::optional<int64_t> hidden_size;    // must agree with r
  int64_t linear_before_reset = 0;
  int64_t layout = 0;  // 0: x [time, batch, input]; 1: x [batch, time, input]
  static constexpr auto fields() {
    return std::tuple{field("activation_alpha", &Gru::activation_alpha),
                      field("activation_beta", &Gru::activation_beta),
                      field("activations", &Gru::activations),
                      field("clip", &Gru::clip),
                      field("direction", &Gru::direction),
                      field("hidden_size", &Gru::hidden_size),
                      field("linear_before_reset", &Gru::linear_before_reset),
                      field("layout", &Gru::layout)};
  }
  bool operator==(const Gru&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
