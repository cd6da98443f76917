// SPDX-License-Identifier: Apache-2.0
// y = (a - a_zero_point) @ (b - b_zero_point) in i32; a zero point is one number, one a row of a, or one a column of b.
// Source: ONNX MatMulInteger 10.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct MatMulInteger {
  static constexpr OpInfo info{.name = "matmul_integer",
                               .inputs = {"a", "b", "a_zero_point?", "b_zero_point?"},
                               .onnx = {{"MatMulInteger", 10}}};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const MatMulInteger&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
