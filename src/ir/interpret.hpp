// SPDX-License-Identifier: Apache-2.0
// Runs a graph node by node with the operators' reference kernels: the meaning of a graph. Slow and plain; used for constant
// folding, for tests of passes, and as the last word when results differ.
#pragma once
#include <functional>
#include <span>

#include "ir/graph.hpp"

namespace carnot::ir {

// Sees the results of each node of the outermost graph once it has run; an error stops the run.
using NodeObserver = std::function<Status(const Node& node, std::span<const Constant> results)>;

// The outputs of `graph` for these inputs. Input shapes must fit the graph's; symbols need no values, all shapes come from data.
Result<std::vector<Constant>> interpret(const Graph& graph, std::span<const TensorView> inputs, const NodeObserver& observer = {});

// The outputs of one node for these operands (dtype kInvalid: absent).
Result<std::vector<Constant>> interpret(const Node& node, std::span<const TensorView> inputs);

// Inputs for a trial: floats in [-1, 1), integers and bools 0 or 1; every symbol of the inputs' shapes gets a small number of its own.
Result<std::vector<Constant>> random_inputs(const Graph& graph, uint32_t seed = 7);

// "" if both results are the same up to rounding (1e-5 of the range for f32 and f64, 1e-2 for narrower floats), else where and how
// much they differ.
std::string difference(std::span<const Constant> a, std::span<const Constant> b);

}  // namespace carnot::ir
