// SPDX-License-Identifier: Apache-2.0
// y... = cond ? then(captures...) : else(captures...). Operands: cond, then every outer value that a body uses; both bodies take exactly
// these. Source: ONNX If 1-25.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct If {
  static constexpr OpInfo info{.name = "if", .inputs = {"cond", "captures*"}, .outputs = {"y*"}, .bodies = 2};
  static constexpr auto fields() { return std::tuple{}; }
  bool operator==(const If&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
