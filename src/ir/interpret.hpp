// SPDX-License-Identifier: Apache-2.0
// Runs a graph node by node with the operators' reference kernels: the meaning of a graph. Slow and plain; used for constant
// folding, for tests of passes, and as the last word when results differ.
#pragma once
#include <functional>
#include <span>

#include "ir/graph.hpp"

namespace carnot::ir {

// The outputs of `graph` for these inputs. Input shapes must fit the graph's; symbols need no values, all shapes come from data.
Result<std::vector<Constant>> interpret(const Graph& graph, std::span<const TensorView> inputs);

// The outputs of one node for these operands (dtype kInvalid: absent).
Result<std::vector<Constant>> interpret(const Node& node, std::span<const TensorView> inputs);

}  // namespace carnot::ir
