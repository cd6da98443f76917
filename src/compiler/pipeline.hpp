// SPDX-License-Identifier: Apache-2.0
// The order of the compiler: import -> canonicalize -> precision -> layout -> fuse -> assign -> plan.
#pragma once
#include "compiler/compile.hpp"
#include "passes/pass.hpp"

namespace carnot::compiler {

// Runs the passes of all phases before `assign`.
Status run_pipeline(ir::Graph& graph, const BuildOptions& options, const passes::PassContext& context = {});
// If this is the phase to stop after, hands the graph to on_stop and fails with kCancelled.
Status stop_here(const ir::Graph& graph, const BuildOptions& options, std::string_view phase);

}  // namespace carnot::compiler
