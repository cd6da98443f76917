// SPDX-License-Identifier: Apache-2.0
// y = the dims start..end of x as i64. Source: ONNX Shape 1-25.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct ShapeOf {
  static constexpr OpInfo info{.name = "shape", .inputs = {"x"}, .onnx = {{"Shape"}}};
  int64_t start = 0;
  std::optional<int64_t> end;
  static constexpr auto fields() { return std::tuple{field("start", &ShapeOf::start), field("end", &ShapeOf::end)}; }
  bool operator==(const ShapeOf&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
