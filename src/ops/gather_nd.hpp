// SPDX-License-Identifier: Apache-2.0
// y[b..., i..., rest...] = data[b..., indices[b..., i..., :], rest...]: the last axis of indices holds places on data's axes behind
// the first batch_dims. Source: ONNX GatherND 11-13.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct GatherNd {
  static constexpr OpInfo info{.name = "gather_nd", .inputs = {"data", "indices"}, .onnx = {{"GatherND", 11}}};
  int64_t batch_dims = 0;
  static constexpr auto fields() { return std::tuple{field("batch_dims", &GatherNd::batch_dims)}; }
  bool operator==(const GatherNd&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
