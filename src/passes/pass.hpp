// SPDX-License-Identifier: Apache-2.0
// A pass rewrites a graph and keeps its meaning.
//
//   // passes/fold_constants.hpp -- first line: the algebra
//   struct FoldConstants {
//     static constexpr std::string_view name = "fold-constants";
//     Result<bool> run(ir::Graph& graph, PassContext& context) const;   // true: changed something
//   };
//   CARNOT_DEFINE_PASS(fold_constants, FoldConstants)                    // last line of passes/fold_constants.cpp
//
// Passes are idempotent (a second run changes nothing), deterministic, and visit bodies by themselves (see each_graph). They
// never touch the graph's inputs, nor the number, order or user-visible names of its outputs. Dead nodes may be left behind: the
// manager removes them. The table of passes is generated from the file names in this folder; files named manager, reduce and
// support_* are no passes. The order of passes stands in compiler/pipeline.cpp alone.
#pragma once
#include <string_view>
#include <vector>

#include "ir/graph.hpp"

namespace carnot::passes {

struct PrecisionSettings;
struct PrecisionReport;

struct PassContext {
  // What the user asked of the precision, and where the pass writes what it did. Null: nothing, nowhere.
  const PrecisionSettings* precision = nullptr;
  PrecisionReport* precision_report = nullptr;
  // Folding a node may not make constants larger than this, nor (beyond 1 MB) more than four times its operands.
  int64_t max_folded_bytes = int64_t{256} << 20;
};

struct PassEntry {
  std::string_view name;
  Result<bool> (*run)(ir::Graph& graph, PassContext& context);
};

// Null if there is none.
const PassEntry* find_pass(std::string_view name);
std::vector<const PassEntry*> all_passes();

// Calls fn(graph) for the graph and for the bodies of its control-flow nodes, innermost first. Bodies of groups are left out:
// what is in them has been decided.
template <typename Fn>
Status each_graph(ir::Graph& graph, Fn&& fn) {
  for (ir::Node* node : graph.node_list()) {
    if (node->op.name() == "group") continue;
    for (auto& body : node->bodies) CARNOT_RETURN_IF_ERROR(each_graph(*body, fn));
  }
  return fn(graph);
}

template <typename P>
PassEntry make_pass_entry() {
  return {P::name, [](ir::Graph& graph, PassContext& context) -> Result<bool> { return P{}.run(graph, context); }};
}

}  // namespace carnot::passes

#define CARNOT_DEFINE_PASS(file, Pass) \
  PassEntry pass_entry_##file() { return make_pass_entry<Pass>(); }
