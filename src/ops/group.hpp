// SPDX-License-Identifier: Apache-2.0
// A fused region: y... = body(x...). The body says what is computed, so the reference simply runs it; a tactic that knows the kind
// may take the whole region at once. Kinds: "conv", "matmul" (an anchor with its pointwise epilogue), "pointwise", "indexed" (with moves).
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

struct Group {
  static constexpr OpInfo info{.name = "group", .inputs = {"x*"}, .outputs = {"y*"}, .bodies = 1};
  std::string kind;
  static constexpr auto fields() { return std::tuple{required_field("kind", &Group::kind)}; }
  bool operator==(const Group&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const;
  Status evaluate(EvalCtx& ctx) const;
};

}  // namespace carnot::ops
