// SPDX-License-Identifier: Apache-2.0
// y = x as a matrix: the dims before `axis` in one, the others in the other. Source: ONNX Flatten 1-25.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Flatten {
  static constexpr OpInfo info{.name = "flatten", .inputs = {"x"}, .onnx = {{"Flatten"}}, .view = true};
  int64_t axis = 1;
  static constexpr auto fields() { return std::tuple{field("axis", &Flatten::axis)}; }
  bool operator==(const Flatten&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
