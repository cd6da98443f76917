// SPDX-License-Identifier: Apache-2.0
// f(x) => x where f does nothing: identity; cast to x's type; a reshape, squeeze, unsqueeze, flatten, expand, tile or slice (of step
// 1) whose result has x's shape; transpose by the identity; pad by zeros; concat of one; x * 1, x / 1, x + 0, x - 0, x ^ 1 where
// broadcasting does not widen x; where with a condition that is constant throughout.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct EliminateIdentities {
  static constexpr std::string_view name = "eliminate-identities";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
