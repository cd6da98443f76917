// SPDX-License-Identifier: Apache-2.0
// y = x[start:end:step] on each axis of `axes` (all, without it), with python's rules for negative and too large positions.
// Source: ONNX Slice 10-13.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Slice {
  static constexpr OpInfo info{.name = "slice", .inputs = {"data", "starts", "ends", "axes?", "steps?"}, .onnx = {{"Slice", 10}}};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const Slice&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
