// SPDX-License-Identifier: Apache-2.0
// y[n,c,1...] = mean over all spatial positions of x[n,c,...]. Source: ONNX GlobalAveragePool.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct GlobalAveragePool {
  static constexpr OpInfo info{.name = "global_average_pool", .inputs = {"x"}, .onnx = {{"GlobalAveragePool"}}};
  std::string layout = "nchw";
  static constexpr auto fields() { return std::tuple{field("layout", &GlobalAveragePool::layout)}; }
  bool operator==(const GlobalAveragePool&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<GlobalAveragePool> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
