// SPDX-License-Identifier: Apache-2.0
// y[n,c,1...] = max over all spatial positions of x[n,c,...]. Source: ONNX GlobalMaxPool.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct GlobalMaxPool {
  static constexpr OpInfo info{.name = "global_max_pool", .inputs = {"x"}, .onnx = {{"GlobalMaxPool"}}};
  std::string layout = "nchw";
  static constexpr auto fields() { return std::tuple{field("layout", &GlobalMaxPool::layout)}; }
  bool operator==(const GlobalMaxPool&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<GlobalMaxPool> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
