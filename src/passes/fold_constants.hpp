// SPDX-License-Identifier: Apache-2.0
// f(constants) => constant, by the reference kernel; and a value all of whose elements inference knows as numbers => constant.
// Left alone: impure nodes, nodes whose result would be too large (PassContext), nodes that the reference refuses (the run then
// says why, if it ever gets there).
#pragma once
#include "passes/pass.hpp"

namespace carnot::passes {

struct FoldConstants {
  static constexpr std::string_view name = "fold-constants";
  Result<bool> run(ir::Graph& graph, PassContext& context) const;
};

}  // namespace carnot::passes
