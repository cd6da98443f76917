// SPDX-License-Identifier: Apache-2.0
// y[n,c,1...] = (sum over all spatial positions of |x[n,c,...]|^p)^(1/p). Source: ONNX GlobalLpPool.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct GlobalLpPool {
  static constexpr OpInfo info{.name = "global_lp_pool", .inputs = {"x"}, .onnx = {{"GlobalLpPool"}}};
  int64_t p = 2;
  std::string layout = "nchw";
  static constexpr auto fields() {
    return std::tuple{field("p", &GlobalLpPool::p), field("layout", &GlobalLpPool::layout)};
  }
  bool operator==(const GlobalLpPool&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<GlobalLpPool> permuted(const std::vector<int64_t>& perm) const;
};

}  // namespace carnot::ops
