// SPDX-License-Identifier: Apache-2.0
// Normalizations over the last axes that are written in primitives, with d = x - mean(x):
//   d / sqrt(mean(d^2) + eps) => layer_normalization(x, 1)         x / sqrt(mean(x^2) + eps) => rms_normalization(x, 1)
//   norm(x, 1) * w => norm(x, w)                                    layer_normalization(x, w) + b => layer_normalization(x, w, b)
//   instance_normalization(x, s, b) => layer_normalization(x, 1) * s + b      over the spatial axes
//   reshape(instance_normalization(reshape(x, [n, groups, rest]), s, b)) * w + c => group_normalization(x, s * w, b * w + c)
//   x / max(sqrt(sum(x^2)), eps) => lp_normalization(x)             over one axis, eps > 0
//   e / sum(e), e = exp(x - max(x)) => softmax(x)
// The quotient may be a product with reciprocal(sqrt(...)) or with (...) ^ -0.5, a square d * d or d ^ 2.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct RecognizeNorms {
  static constexpr std::string_view name = "recognize-norms";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
