// SPDX-License-Identifier: Apache-2.0
// y = x without the dims named in `axes` (all of size 1), or without every dim of size 1. Source: ONNX Squeeze 13-25.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Squeeze {
  static constexpr OpInfo info{.name = "squeeze", .inputs = {"x", "axes?"}, .onnx = {{"Squeeze", 13}}, .view = true};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const Squeeze&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
