// SPDX-License-Identifier: Apache-2.0
// y = quantize(dequantize(a) @ dequantize(b)): scales and zero points are one number, or one a row of a, or one a
// column of b. Source: ONNX QLinearMatMul 10, 21.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct QLinearMatMul {
  static constexpr OpInfo info{
      .name = "qlinear_matmul",
      .inputs = {"a", "a_scale", "a_zero_point", "b", "b_scale", "b_zero_point", "y_scale", "y_zero_point"},
      .onnx = {{"QLinearMatMul", 10}}};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const QLinearMatMul&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
