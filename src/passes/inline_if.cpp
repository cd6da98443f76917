// SPDX-License-Identifier: Apache-2.0
#include "passes/inline_if.hpp"

#include "ops/if_op.hpp"
#include "passes/support_group.hpp"
#include "passes/support_rewrite.hpp"

namespace carnot::passes {

Result<bool> InlineIf::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    bool here = false;
    for (ir::Node* node : g.node_list()) {
      if (!node->as<ops::If>()) continue;
      const auto condition = scalar_of(node->in(0));
      const size_t branch = condition && *condition != 0 ? 0 : 1;
      if (!condition || node->bodies[branch]->inputs().size() + 1 > node->inputs.size() ||
          node->bodies[branch]->outputs().size() < node->outputs.size())
        continue;
      inline_body(g, node, branch, 1);
      here = true;
    }
    // The other branch's types no longer blur what follows.
    if (here) CARNOT_RETURN_IF_ERROR(g.infer_all());
    changed |= here;
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(inline_if, InlineIf)

}  // namespace carnot::passes
