// SPDX-License-Identifier: Apache-2.0
// Making `group` nodes.
#pragma once
#include <string>
#include <vector>

#include "passes/pass.hpp"

namespace carnot::passes {

// Moves `nodes` (in graph order) into the body of a new group node that stands where the last of them stood. Values that are used
// outside become its results, in order; values and constants from outside become its operands, but constants of one element that
// element-wise nodes use are copied into the body, where kernels find them as immediates. The caller has made sure that no other node lies between (depends on
// one of them and is needed by another).
Result<ir::Node*> make_group(ir::Graph& graph, const std::vector<ir::Node*>& nodes, std::string kind);

// Puts a copy of body `k` in the place of its node. The body's inputs become the node's operands from `first_operand` on.
void inline_body(ir::Graph& graph, ir::Node* node, size_t k, size_t first_operand);

}  // namespace carnot::passes
