// SPDX-License-Identifier: Apache-2.0
#include "compiler/pipeline.hpp"

namespace carnot::compiler {

Status stop_here(const ir::Graph& graph, const BuildOptions& options, std::string_view phase) {
  if (options.stop_after != phase) return {};
  if (options.on_stop) options.on_stop(graph, phase);
  return fail(Code::kCancelled, "stopped after phase '{}'", phase);
}

Status run_pipeline(ir::Graph& graph, const BuildOptions& options) { return stop_here(graph, options, "import"); }

}  // namespace carnot::compiler
