// SPDX-License-Identifier: Apache-2.0
// y = x broadcast with `shape` by numpy's rules. Source: ONNX Expand 8, 13.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Expand {
  static constexpr OpInfo info{.name = "expand", .inputs = {"x", "shape"}, .onnx = {{"Expand", 8}}};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const Expand&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
