// SPDX-License-Identifier: Apache-2.0
// y = x with the same elements in row-major order under another shape. A 0 in `shape` keeps the input's dim (with allowzero it is a
// zero), one -1 takes what is left. Source: ONNX Reshape 5, 13, 14, 19-25.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Reshape {
  static constexpr OpInfo info{.name = "reshape", .inputs = {"x", "shape"}, .onnx = {{"Reshape", 5}}, .view = true};
  int64_t allowzero = 0;
  static constexpr auto fields() { return std::tuple{field("allowzero", &Reshape::allowzero)}; }
  bool operator==(const Reshape&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
