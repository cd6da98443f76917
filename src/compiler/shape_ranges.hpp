// SPDX-License-Identifier: Apache-2.0
// What --shape says of the inputs, applied to a graph.
#pragma once
#include <map>
#include <string>

#include "compiler/compile.hpp"
#include "engine/plan.hpp"

namespace carnot::compiler {

// Dims that a range fixes (min = max) become constants of the graph. The result has the bounds of those that stay symbolic, by input:
// a symbol that is bounded in one input is bounded wherever it stands. Errors name the input and the dimension.
Result<std::map<std::string, engine::InputRange>> apply_shapes(ir::Graph& graph, const std::map<std::string, ShapeRange>& shapes);

}  // namespace carnot::compiler
