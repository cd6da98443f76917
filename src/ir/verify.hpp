// SPDX-License-Identifier: Apache-2.0
// What must hold in every graph between passes: operands defined before use and of the same graph, use lists that match operands,
// unique names, arity, as many bodies as the operator has, bodies that take what their group gives, and stored types that do
// not contradict what inference says. Changes nothing, fresh symbols included. The error names the node.
#pragma once
#include "ir/graph.hpp"

namespace carnot::ir {

Status verify(const Graph& graph);

}  // namespace carnot::ir
