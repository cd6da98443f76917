// SPDX-License-Identifier: Apache-2.0
// y[i...] = data[i... with the place on `axis` taken from indices[i...]]. Source: ONNX GatherElements 11, 13.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct GatherElements {
  static constexpr OpInfo info{.name = "gather_elements", .inputs = {"data", "indices"}, .onnx = {{"GatherElements", 11}}};
  int64_t axis = 0;
  static constexpr auto fields() { return std::tuple{field("axis", &GatherElements::axis)}; }
  bool operator==(const GatherElements&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
