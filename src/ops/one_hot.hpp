// SPDX-License-Identifier: Apache-2.0
// y[..., k, ...] = values[1] where k == indices[...], else values[0]; the new axis has `depth` places. A negative index
// counts from the end, one outside [-depth, depth) matches nothing. Source: ONNX OneHot 9, 11.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct OneHot {
  static constexpr OpInfo info{.name = "one_hot", .inputs = {"indices", "depth", "values"}, .onnx = {{"OneHot", 9}}};
  int64_t axis = -1;
  static constexpr auto fields() { return std::tuple{field("axis", &OneHot::axis)}; }
  bool operator==(const OneHot&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
