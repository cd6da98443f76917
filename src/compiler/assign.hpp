// SPDX-License-Identifier: Apache-2.0
// Which command runs each node, and where.
#pragma once
#include <functional>

#include "compiler/plan_builder.hpp"

namespace carnot::compiler {

// Chooses for every node, bodies of control flow included. `step` is called before each choice and may stop it. `frugal`: large constants
// that a choice packed anew, and that nobody else reads, lose their data (the graph is good for build_program alone then).
Status assign(ir::Graph& graph, const tactics::Target& target, Assignment& assignment, const std::function<Status()>& step, bool frugal = false);

}  // namespace carnot::compiler
