// SPDX-License-Identifier: Apache-2.0
// y = x. Source: ONNX Identity 1-24.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Identity {
  static constexpr OpInfo info{.name = "identity", .inputs = {"x"}, .onnx = {{"Identity"}}, .view = true};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const Identity&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
  std::optional<Identity> permuted(const std::vector<int64_t>&) const { return *this; }
};

}  // namespace carnot::ops
