// SPDX-License-Identifier: Apache-2.0
// y = exp(x - max) / sum of exp(x - max) along `axis`. Source: ONNX Softmax 13 (one axis; the flattening form of
// opsets 1 to 12 is a reshape around it).
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Softmax {
  static constexpr OpInfo info{.name = "softmax", .inputs = {"x"}, .onnx = {{"Softmax", 13}}};
  int64_t axis = -1;
  static constexpr auto fields() { return std::tuple{field("axis", &Softmax::axis)}; }
  bool operator==(const Softmax&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<Softmax> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
