// SPDX-License-Identifier: Apache-2.0
// The determinants of square matrices, the last two axes of x.
// Source: ONNX Det 11, 22.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Det {
  static constexpr OpInfo info{.name = "det", .inputs = {"x"}, .onnx = {{"Det", 11}}};

  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const Det&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
