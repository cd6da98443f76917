// SPDX-License-Identifier: Apache-2.0
#include "passes/eliminate_identities.hpp"

#include <algorithm>
#include <numeric>

#include "ops/cast.hpp"
#include "ops/transpose.hpp"
#include "passes/support_rewrite.hpp"

namespace carnot::passes {
namespace {

bool is_one_of(std::string_view name, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// All elements are this number, exactly.
bool is_exactly(const ir::Value* v, double wanted) {
  const auto number = scalar_of(v);
  return number && *number == wanted;
}

// A small integer operand all of whose elements are `wanted`; also true if it is absent.
bool absent_or_all(const ir::Node& node, size_t i, int64_t wanted) {
  if (!node.has(i)) return true;
  const ir::Value* v = node.in(i);
  if (const auto ints = ints_of(v)) return std::all_of(ints->begin(), ints->end(), [&](int64_t x) { return x == wanted; });
  const auto& values = v->facts.values;
  return values && std::all_of(values->begin(), values->end(), [&](const Dim& d) { return d.is(wanted); });
}

// The operand that the node's first result equals, or null.
ir::Value* same_as(const ir::Node& node) {
  const std::string_view name = node.op.name();
  ir::Value* x = node.in(0);
  if (!x) return nullptr;
  const ir::Value* y = node.out();
  const bool keeps_type = x->dtype() == y->dtype(), keeps_shape = same_shape(x, y);
  if (name == "identity") return x;
  if (name == "concat" && node.inputs.size() == 1) return x;
  if (name == "where") {
    const auto condition = scalar_of(node.in(0));
    ir::Value* chosen = condition ? node.in(*condition != 0 ? 1 : 2) : node.in(1) == node.in(2) ? node.in(1) : nullptr;
    return chosen && same_shape(chosen, y) ? chosen : nullptr;
  }
  if (!keeps_type) return nullptr;
  if (const auto* transpose = node.as<ops::Transpose>()) {
    auto perm = transpose->perm_for(x->rank());
    return perm && std::is_sorted(perm->begin(), perm->end()) ? x : nullptr;
  }
  if (name == "pad") return absent_or_all(node, 1, 0) ? x : nullptr;
  if (is_one_of(name, {"mul", "add"}) && !keeps_shape) {
    // The constant may stand first.
    ir::Value* other = node.in(1);
    if (same_shape(other, y) && is_exactly(x, name == "mul" ? 1 : 0)) return other;
  }
  if (!keeps_shape) return nullptr;
  if (is_one_of(name, {"cast", "reshape", "squeeze", "unsqueeze", "flatten", "expand"})) return x;
  if (name == "tile") return absent_or_all(node, 1, 1) ? x : nullptr;
  if (name == "slice") return absent_or_all(node, 4, 1) ? x : nullptr;
  if (is_one_of(name, {"mul", "add"})) {
    const double neutral = name == "mul" ? 1 : 0;
    if (is_exactly(node.in(1), neutral)) return x;
    if (is_exactly(x, neutral) && same_shape(node.in(1), y)) return node.in(1);
  }
  if (is_one_of(name, {"div", "pow"}) && is_exactly(node.in(1), 1)) return x;
  if (name == "sub" && is_exactly(node.in(1), 0)) return x;
  return nullptr;
}

}  // namespace

Result<bool> EliminateIdentities::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    for (ir::Node* node : g.node_list()) {
      ir::Value* y = node->out();
      if (y->uses.empty() && !g.is_output(y)) continue;
      ir::Value* x = same_as(*node);
      // An output that is an input handed through needs a node that copies.
      if (!x || (g.is_output(y) && !x->producer && !x->constant)) continue;
      g.replace_uses(y, x);
      changed = true;
    }
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(eliminate_identities, EliminateIdentities)

}  // namespace carnot::passes
