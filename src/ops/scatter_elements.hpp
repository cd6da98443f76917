// SPDX-License-Identifier: Apache-2.0
// y = data, then y[i... with the place on `axis` from indices[i...]] = updates[i...]. Source: ONNX ScatterElements 11-18, Scatter 9.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct ScatterElements {
  static constexpr OpInfo info{
      .name = "scatter_elements", .inputs = {"data", "indices", "updates"}, .onnx = {{"ScatterElements", 11}, {"Scatter", 9, 10}}};
  int64_t axis = 0;
  std::string reduction = "none";
  static constexpr auto fields() { return std::tuple{field("axis", &ScatterElements::axis), field("reduction", &ScatterElements::reduction)}; }
  bool operator==(const ScatterElements&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
