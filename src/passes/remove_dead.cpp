// SPDX-License-Identifier: Apache-2.0
#include "passes/remove_dead.hpp"

#include <algorithm>
#include <unordered_set>

namespace carnot::passes {

Result<bool> RemoveDead::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    const std::unordered_set<const ir::Value*> outputs(g.outputs().begin(), g.outputs().end());
    std::vector<ir::Node*> nodes = g.node_list();
    for (size_t i = nodes.size(); i-- > 0;) {
      const auto& results = nodes[i]->outputs;
      if (std::any_of(results.begin(), results.end(), [&](const ir::Value* v) { return !v->uses.empty() || outputs.count(v); })) continue;
      g.erase(nodes[i]);
      changed = true;
    }
    g.drop_unused_constants();
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(remove_dead, RemoveDead)

}  // namespace carnot::passes
