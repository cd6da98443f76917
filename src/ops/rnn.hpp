// SPDX-License-Identifier: Apache-2.0
// Simple recurrent network: h' = f(W x + R h + b), w [directions, hidden, input], r [directions, hidden, hidden]; b
// holds both biases. Behind a sequence's length y is 0 and the state stays. Source: ONNX RNN 7, 14, 22.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Rnn {
  static constexpr OpInfo info{.name = "rnn",
                               .inputs = {"x", "w", "r", "b?", "sequence_lens?", "initial_h?"},
                               .outputs = {"y?", "y_h?"},
                               .onnx = {{"RNN", 7}}};
  std::vector<double> activation_alpha, activation_beta;
  std::vector<std::string> activations;  // empty: Tanh
  std::optional<double> clip;            // bound on the argument of every activation
  std::string direction = "forward";     // or "reverse", "bidirectional"
  std::optional<int64_t> hidden_size;    // must agree with r
  int64_t layout = 0;                    // 0: x [time, batch, input]; 1: x [batch, time, input]
  static constexpr auto fields() {
    return std::tuple{field("activation_alpha", &Rnn::activation_alpha),
                      field("activation_beta", &Rnn::activation_beta),
                      field("activations", &Rnn::activations),
                      field("clip", &Rnn::clip),
                      field("direction", &Rnn::direction),
                      field("hidden_size", &Rnn::hidden_size),
                      field("layout", &Rnn::layout)};
  }
  bool operator==(const Rnn&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
