// SPDX-License-Identifier: Apache-2.0
// Long short-term memory. Gates i, o, f, c in w [directions, 4*hidden, input] and r [directions, 4*hidden, hidden]; b
// holds both biases:
//   i = f(Wi x + Ri h + Pi*c)   f = f(Wf x + Rf h + Pf*c)   c' = f*c + i*g(Wc x + Rc h)   o = f(Wo x + Ro h + Po*c') h'
//   = o*h(c')
// Behind a sequence's length y is 0 and the state stays. Source: ONNX LSTM 7, 14, 22.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Lstm {
  static constexpr OpInfo info{.name = "lstm",
                               .inputs = {"x", "w", "r", "b?", "sequence_lens?", "initial_h?", "initial_c?", "p?"},
                               .outputs = {"y?", "y_h?", "y_c?"},
                               .onnx = {{"LSTM", 7}}};
  std::vector<double> activation_alpha, activation_beta;
  std::vector<std::string> activations;  // empty: Sigmoid, Tanh, Tanh
  std::optional<double> clip;            // bound on the argument of every activation
  std::string direction = "forward";     // or "reverse", "bidirectional"
  std::optional<int64_t> hidden_size;    // must agree with r
  int64_t input_forget = 0;              // 1: f = 1 - i
  int64_t layout = 0;                    // 0: x [time, batch, input]; 1: x [batch, time, input]
  static constexpr auto fields() {
    return std::tuple{field("activation_alpha", &Lstm::activation_alpha),
                      field("activation_beta", &Lstm::activation_beta),
                      field("activations", &Lstm::activations),
                      field("clip", &Lstm::clip),
                      field("direction", &Lstm::direction),
                      field("hidden_size", &Lstm::hidden_size),
                      field("input_forget", &Lstm::input_forget),
                      field("layout", &Lstm::layout)};
  }
  bool operator==(const Lstm&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
