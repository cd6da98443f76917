// SPDX-License-Identifier: Apache-2.0
// y = x with dims of size 1 put in at `axes`, which count in the result. Source: ONNX Unsqueeze 13-25.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Unsqueeze {
  static constexpr OpInfo info{.name = "unsqueeze", .inputs = {"x", "axes"}, .onnx = {{"Unsqueeze", 13}}, .view = true};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const Unsqueeze&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
