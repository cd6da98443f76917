// SPDX-License-Identifier: Apache-2.0
// y = data, then y[indices[i..., :]] = updates[i...] for each i; reduction none, add, mul, min or max. Source: ONNX ScatterND 11-18.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct ScatterNd {
  static constexpr OpInfo info{.name = "scatter_nd", .inputs = {"data", "indices", "updates"}, .onnx = {{"ScatterND", 11}}};
  std::string reduction = "none";
  static constexpr auto fields() { return std::tuple{field("reduction", &ScatterNd::reduction)}; }
  bool operator==(const ScatterNd&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
