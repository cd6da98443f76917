// SPDX-License-Identifier: Apache-2.0
// Operators whose shape operand is known symbolically stop depending on the arithmetic that made it, which then dies:
//   reshape(x, [batch, 12, 64]) => reshape(x, constant {0, 12, 64})      0 keeps x's dim, one -1 takes what is left
//   flatten, squeeze, unsqueeze => reshape
//   expand(x, s) whose only users broadcast it anyway => x
//   slice(x, starts, ends) with ends at or beyond x's dims => ends that are constant
//   resize(x, sizes) by constant factors => resize(x, scales)
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct ResolveShapes {
  static constexpr std::string_view name = "resolve-shapes";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
