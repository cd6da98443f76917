// SPDX-License-Identifier: Apache-2.0
// y = x where j - i >= k (upper) or j - i <= k (lower) in the last two axes, 0 elsewhere.
// Source: ONNX Trilu 14.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Trilu {
  static constexpr OpInfo info{.name = "trilu", .inputs = {"x", "k?"}, .onnx = {{"Trilu", 14}}};
  int64_t upper = 1;
  static constexpr auto fields() { return std::tuple{field("upper", &Trilu::upper)}; }
  bool operator==(const Trilu&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
