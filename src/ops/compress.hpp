// SPDX-License-Identifier: Apache-2.0
// The slices of x along `axis` whose condition is true. The condition may be shorter than the axis; the rest is left
// out. Source: ONNX Compress 9, 11.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Compress {
  static constexpr OpInfo info{.name = "compress", .inputs = {"x", "condition"}, .onnx = {{"Compress", 9}}};
  std::optional<int64_t> axis;  // absent: of the flattened tensor
  static constexpr auto fields() { return std::tuple{field("axis", &Compress::axis)}; }
  bool operator==(const Compress&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
