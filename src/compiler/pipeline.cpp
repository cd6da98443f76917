// SPDX-License-Identifier: Apache-2.0
#include "compiler/pipeline.hpp"

#include <algorithm>

#include "passes/manager.hpp"

namespace carnot::compiler {

Status stop_here(const ir::Graph& graph, const BuildOptions& options, std::string_view phase) {
  if (options.stop_after != phase) return {};
  if (options.on_stop) options.on_stop(graph, phase);
  return fail(Code::kCancelled, "stopped after phase '{}'", phase);
}

namespace {

// The only list of passes.
std::vector<passes::Phase> phases(bool cuda) {
  std::vector<passes::Phase> list = {
      {"canonicalize",
       {
           "fold-constants",         // what depends on weights alone is computed now
           "inline-if",              // a branch that is chosen already
           "eliminate-identities",   // what does nothing goes
           "resolve-shapes",         // shape arithmetic dies where its result is known
           "explicit-pads",          // SAME padding as numbers
           "fold-batch-norm",        // batch norm is x * s + t ...
           "fold-scale-bias",        // ... which goes into weights and biases
           "recognize-activations",  // gelu, silu, hard_swish ... written in primitives
           "recognize-norms",        // layer norm, rms norm and softmax likewise
           "simplify-views",         // chains of reshapes and transposes become short
       },
       4},
      {"precision",
       {
           "set-precision",  // every cast becomes visible
       }},
      {"layout",
       {
           "lower-integer-products",  // integer products as those of floats, which have fast kernels
           "lower-quantize",          // as element-wise work, through which layouts pass
           "fold-constants",          // the weights of both
           "channels-last",   // the layout that convolutions run in, so that what is fused later sees it
           "simplify-views",  // its transposes meet those of the model
           "eliminate-identities",
       }},
      {"fuse",
       {
           "recognize-attention",  // softmax between two matrix products, with the views around it
           "fuse-epilogues",       // convolutions and matrix products with bias, residual and activation
           "fuse-pointwise",       // what element-wise work is left, in regions
       }},
  };
  if (cuda) {
    // A GPU has fast attention in 16 bits, and launches cost more than arithmetic.
    auto& precision = list[1].passes;
    precision.insert(precision.begin(), {"recognize-attention", "merge-projections", "merge-lookups"});
    auto& fuse = list[3].passes;
    fuse.insert(std::find(fuse.begin(), fuse.end(), "fuse-pointwise"), "fuse-indexed");
  }
  return list;
}

}  // namespace

Status run_pipeline(ir::Graph& graph, const BuildOptions& options, const passes::PassContext& context) {
  CARNOT_RETURN_IF_ERROR(stop_here(graph, options, "import"));
  passes::ManagerOptions manager;
  manager.context = context;
  manager.cancelled = [&] { return options.progress && !options.progress("passes", 0.3); };
  for (const passes::Phase& phase : phases(options.device != "cpu")) {
    CARNOT_ASSIGN(const auto reports, passes::run_phases(graph, {&phase, 1}, manager));
    (void)reports;
    CARNOT_RETURN_IF_ERROR(stop_here(graph, options, phase.name));
  }
  return {};
}

}  // namespace carnot::compiler
