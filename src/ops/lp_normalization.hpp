// SPDX-License-Identifier: Apache-2.0
// y = x / max((sum |x|^p)^(1/p), epsilon) along `axis`, p 1 or 2; where the divisor is 0, y is 0. Source: ONNX
// LpNormalization 1, 22, which has no epsilon.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct LpNormalization {
  static constexpr OpInfo info{.name = "lp_normalization", .inputs = {"x"}, .onnx = {{"LpNormalization"}}};
  int64_t axis = -1, p = 2;
  double epsilon = 0;
  static constexpr auto fields() {
    return std::tuple{field("axis", &LpNormalization::axis), field("p", &LpNormalization::p),
                      field("epsilon", &LpNormalization::epsilon)};
  }
  bool operator==(const LpNormalization&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<LpNormalization> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
