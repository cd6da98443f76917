// SPDX-License-Identifier: Apache-2.0
// y = a @ b with numpy's rules: vectors are rows (a) or columns (b), leading dims broadcast. Source: ONNX MatMul 1,
// 9, 13.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct MatMul {
  static constexpr OpInfo info{.name = "matmul", .inputs = {"a", "b"}, .onnx = {{"MatMul"}}};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const MatMul&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
