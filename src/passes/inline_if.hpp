// SPDX-License-Identifier: Apache-2.0
// if(c, x...) with a constant condition => the branch that it chooses.
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct InlineIf {
  static constexpr std::string_view name = "inline-if";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
