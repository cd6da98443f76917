// SPDX-License-Identifier: Apache-2.0
// `carnot reduce`: makes a graph that shows a failure smaller while it still shows it.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ir/graph.hpp"

namespace carnot::passes {

// Whether the graph still shows the failure. It may be called thousands of times and must not change the graph.
using StillFails = std::function<bool(const ir::Graph& graph)>;

// Cuts outputs, what comes behind the failure (an inner value becomes the result), what comes before it (a node's results become
// inputs), and unused inputs, until no single cut is left that keeps the failure. The graph given must fail.
Result<std::unique_ptr<ir::Graph>> reduce(const ir::Graph& graph, const StillFails& still_fails);

// Runs passes on a copy: an error if one fails, breaks the graph, or changes what the interpreter computes from random inputs.
Status check_passes(const ir::Graph& graph, const std::vector<std::string>& pass_names);

// Text in, text out; the failure is that of check_passes. An error if the text shows none.
Result<std::string> reduce_text(std::string_view text, const std::vector<std::string>& pass_names);

}  // namespace carnot::passes
