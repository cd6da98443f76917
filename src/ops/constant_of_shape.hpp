// SPDX-License-Identifier: Apache-2.0
// y = a tensor of the given shape filled with one value. The value stands in `value` (integers and bools exactly in `ivalue`).
// Source: ONNX ConstantOfShape 9-25.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct ConstantOfShape {
  static constexpr OpInfo info{.name = "constant_of_shape", .inputs = {"shape"}};
  DType dtype = DType::kF32;
  double value = 0;
  int64_t ivalue = 0;
  static constexpr auto fields() {
    return std::tuple{field("dtype", &ConstantOfShape::dtype), field("value", &ConstantOfShape::value), field("ivalue", &ConstantOfShape::ivalue)};
  }
  bool operator==(const ConstantOfShape&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
