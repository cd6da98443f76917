// SPDX-License-Identifier: Apache-2.0
// y[i, j] = 1 where j - i == k, else 0, in the shape of the matrix x.
// Source: ONNX EyeLike 9, 22.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct EyeLike {
  static constexpr OpInfo info{.name = "eye_like", .inputs = {"x"}, .onnx = {{"EyeLike", 9}}};
  std::optional<DType> dtype;  // of the result; absent: of x
  int64_t k = 0;
  static constexpr auto fields() { return std::tuple{field("dtype", &EyeLike::dtype), field("k", &EyeLike::k)}; }
  bool operator==(const EyeLike&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
