// SPDX-License-Identifier: Apache-2.0
// out[i] = condition[i] ? x[i] : y[i], with numpy broadcasting. Source: ONNX Where 9, 16.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Where {
  static constexpr OpInfo info{.name = "where", .inputs = {"condition", "x", "y"}, .onnx = {{"Where", 9}}, .pointwise = true};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const Where&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<Where> permuted(const std::vector<int64_t>&) const { return *this; }
};

}  // namespace carnot::ops
