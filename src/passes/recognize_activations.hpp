// SPDX-License-Identifier: Apache-2.0
// Activations that exporters write in primitives become one operator each:
//   1 / (1 + exp(-x)) => sigmoid(x)             log(1 + exp(x)) => softplus(x)
//   x * sigmoid(x) => silu(x)                   x * sigmoid(c x) => quick_gelu(x, alpha=c)
//   x/2 (1 + erf(x / sqrt 2)) => gelu(x)        x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) => gelu(x, approximate="tanh")
//   min(max(a x + b, 0), 1) => hard_sigmoid     x * hard_sigmoid(x, 1/6, 1/2) => hard_swish(x)
//   x * tanh(softplus(x)) => mish(x)            max(x, 0) => relu(x)
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct RecognizeActivations {
  static constexpr std::string_view name = "recognize-activations";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
