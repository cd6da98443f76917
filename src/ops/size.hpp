// SPDX-License-Identifier: Apache-2.0
// y = the number of elements of x as a scalar i64. Source: ONNX Size 1-25.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct SizeOf {
  static constexpr OpInfo info{.name = "size", .inputs = {"x"}, .onnx = {{"Size"}}};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const SizeOf&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
