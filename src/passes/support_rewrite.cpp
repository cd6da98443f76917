// SPDX-License-Identifier: Apache-2.0
#include "passes/support_rewrite.hpp"

#include <algorithm>
#include <cmath>

namespace carnot::passes {

bool single_use(const ir::Value* value) { return value->uses.size() == 1 && !value->graph->is_output(value); }

std::optional<double> scalar_of(const ir::Value* value) {
  if (!value || !value->constant || value->constant->size() < 1) return std::nullopt;
  const Constant& c = *value->constant;
  const size_t width = dtype_size(c.dtype);
  if (width == 0 || (c.bytes() > width && std::memcmp(c.data, c.as<char>() + width, c.bytes() - width) != 0)) return std::nullopt;
  double out = 0;
  if (!dispatch_dtype(c.dtype, [&](auto tag) { out = static_cast<double>(*c.as<typename decltype(tag)::type>()); })) return std::nullopt;
  return out;
}

bool is_scalar(const ir::Value* value, double wanted, double relative_tolerance) {
  const auto number = scalar_of(value);
  return number && std::abs(*number - wanted) <= relative_tolerance * std::abs(wanted);
}

bool same_shape(const ir::Value* a, const ir::Value* b) { return a->shape() == b->shape(); }

ir::Node* producer(const ir::Value* value, std::string_view op_name) {
  return value && value->producer && value->producer->op.name() == op_name ? value->producer : nullptr;
}

std::optional<std::vector<int64_t>> ints_of(const ir::Value* value) {
  if (!value || !value->constant) return std::nullopt;
  auto ints = to_int64s(value->constant->view());
  if (!ints) return std::nullopt;
  return std::move(*ints);
}

std::optional<std::vector<int64_t>> kept_axes(const ir::Node* reduction) {
  const Attrs attrs = reduction->op.attrs();
  if (attr_or<int64_t>(attrs, "keepdims", 1) != 1) return std::nullopt;
  std::vector<int64_t> axes;
  if (const auto* given = find_attr<std::vector<int64_t>>(attrs, "axes")) axes = *given;
  if (reduction->has(1)) {
    auto given = ints_of(reduction->in(1));
    if (!given) return std::nullopt;
    axes = std::move(*given);
  }
  if (axes.empty()) return std::nullopt;
  for (int64_t& a : axes)
    if (a < 0) a += static_cast<int64_t>(reduction->in(0)->rank());
  std::sort(axes.begin(), axes.end());
  return axes;
}

ir::Location join(const std::vector<ir::Node*>& nodes) {
  ir::Location out;
  // The root comes first in a match, and last in the model.
  for (size_t i = nodes.size(); i-- > 0;) {
    const ir::Location& one = nodes[i]->where;
    if (one.name.empty() || (i + 1 < nodes.size() && one.name == nodes[i + 1]->where.name)) continue;
    out.name += (out.name.empty() ? "" : "+") + one.name;
    out.type += (out.type.empty() ? "" : "+") + one.type;
  }
  return out;
}

void erase_dead(ir::Graph& graph, ir::Node* node) {
  std::vector<ir::Node*> pending{node};  // each at most once: two paths may lead to a node
  while (!pending.empty()) {
    ir::Node* n = pending.back();
    pending.pop_back();
    if (std::any_of(n->outputs.begin(), n->outputs.end(), [&](const ir::Value* v) { return !v->uses.empty() || graph.is_output(v); })) continue;
    std::vector<ir::Node*> next;
    for (const ir::Value* v : n->inputs)
      if (v && v->producer) next.push_back(v->producer);
    graph.erase(n);
    for (ir::Node* p : next)
      if (std::find(pending.begin(), pending.end(), p) == pending.end()) pending.push_back(p);
  }
}

ir::Value* try_add(ir::Graph& graph, ops::Operator op, std::vector<ir::Value*> inputs, const ir::Location& where, ir::Node* before) {
  auto made = graph.add1(std::move(op), std::move(inputs), where, before);
  return made ? *made : nullptr;
}

bool can_replace(const ir::Value* from, const ir::Value* to) {
  if (from->dtype() != to->dtype() || from->rank() != to->rank()) return false;
  // A symbol may give way to a number, or a symbol that only a run binds to anything; nothing else, for broadcasting may hide there.
  for (size_t i = 0; i < from->rank(); ++i) {
    const Dim &a = from->shape()[i], &b = to->shape()[i];
    if (a == b || (!a.is_constant() && b.is_constant())) continue;
    const auto symbol = a.as_symbol();
    if (!symbol || symbol->front() != '$') return false;
  }
  return true;
}

ir::Value* add_scalar(ir::Graph& graph, DType dtype, double value, std::string_view name) {
  Constant c = Constant::allocate(dtype, {});
  dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    *static_cast<T*>(c.mutable_data()) = static_cast<T>(value);
  });
  return graph.add_constant(std::move(c), name);
}

// ---- patterns ------------------------------------------------------------------------------------------------------------------
struct PatternNode {
  enum class Kind { kAny, kNumber, kScalar, kConstant, kOp, kOneOf } kind;
  int capture = -1;
  double value = 0;
  std::string_view name = {};
  std::vector<Pattern> operands = {};
};

namespace {
using Kind = PatternNode::Kind;

Pattern make(PatternNode node) { return std::make_shared<const PatternNode>(std::move(node)); }

bool commutes(std::string_view name) {
  static constexpr std::string_view kNames[] = {"add", "mul", "min", "max", "equal", "and", "or"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

bool match_node(const PatternNode& p, ir::Node* node, bool is_root, Match& m);

bool match_value(const PatternNode& p, ir::Value* v, Match& m) {
  auto capture = [&] {
    ir::Value*& slot = m.values[static_cast<size_t>(p.capture)];
    if (slot && slot != v) return false;
    slot = v;
    return true;
  };
  if (!v) return false;
  switch (p.kind) {
    case Kind::kAny: return capture();
    case Kind::kNumber: return is_scalar(v, p.value);
    case Kind::kScalar: return scalar_of(v) && capture();
    case Kind::kConstant: return v->is_constant() && capture();
    case Kind::kOneOf:
      for (const Pattern& one : p.operands) {
        Match copy = m;
        if (match_value(*one, v, copy)) {
          m = std::move(copy);
          return true;
        }
      }
      return false;
    case Kind::kOp: return v->producer && match_node(p, v->producer, false, m);
  }
  return false;
}

bool match_operands(const PatternNode& p, ir::Node* node, bool swapped, Match& m) {
  for (size_t i = 0; i < p.operands.size(); ++i) {
    const size_t k = swapped ? 1 - i : i;
    if (!node->has(k) || !match_value(*p.operands[i], node->inputs[k], m)) return false;
  }
  return true;
}

bool match_node(const PatternNode& p, ir::Node* node, bool is_root, Match& m) {
  if (node->op.name() != p.name || node->inputs.size() != p.operands.size()) return false;
  if (!is_root && (node->outputs.size() != 1 || node->graph->is_output(node->out()))) return false;
  if (p.capture >= 0) m.captured[static_cast<size_t>(p.capture)] = node;
  if (std::find(m.nodes.begin(), m.nodes.end(), node) == m.nodes.end()) m.nodes.push_back(node);
  Match copy = m;
  if (match_operands(p, node, false, m)) return true;
  m = copy;
  if (p.operands.size() == 2 && commutes(p.name) && match_operands(p, node, true, m)) return true;
  m = std::move(copy);
  return false;
}
}  // namespace

Pattern any(int capture) { return make({Kind::kAny, capture}); }
Pattern number(double value) { return make({Kind::kNumber, -1, value}); }
Pattern scalar(int capture) { return make({Kind::kScalar, capture}); }
Pattern constant(int capture) { return make({Kind::kConstant, capture}); }
Pattern op(std::string_view name, std::vector<Pattern> operands, int node_capture) {
  return make({Kind::kOp, node_capture, 0, name, std::move(operands)});
}
Pattern one_of(std::vector<Pattern> patterns) { return make({Kind::kOneOf, -1, 0, {}, std::move(patterns)}); }
Pattern reduction(std::string_view name, Pattern x, int node_capture) {
  return one_of({op(name, {x}, node_capture), op(name, {x, constant(kMaxCaptures - 1)}, node_capture)});
}
Pattern times(Pattern x, double factor) { return one_of({op("mul", {x, number(factor)}), op("div", {x, number(1 / factor)})}); }

std::optional<Match> match(const Pattern& pattern, ir::Node* root) {
  if (pattern->kind == Kind::kOneOf) {
    for (const Pattern& one : pattern->operands)
      if (auto m = match(one, root)) return m;
    return std::nullopt;
  }
  Match m;
  if (pattern->kind != Kind::kOp || pattern->name != root->op.name() || !match_node(*pattern, root, true, m)) return std::nullopt;
  // A failed alternative may have left nodes in the list that are not operands of the rest; then this only declines.
  for (size_t i = 1; i < m.nodes.size(); ++i)
    for (const ir::Use& use : m.nodes[i]->out()->uses)
      if (std::find(m.nodes.begin(), m.nodes.end(), use.node) == m.nodes.end()) return std::nullopt;
  return m;
}

Result<bool> apply_rules(ir::Graph& graph, const std::vector<Rule>& rules) {
  bool changed = false;
  auto once = [&](ir::Graph& g) {
    bool any_change = false;
    for (auto it = g.nodes().begin(); it != g.nodes().end();) {
      ir::Node* root = it->get();
      ++it;  // a rewrite erases the root and nodes before it, never one behind it
      for (const Rule& rule : rules) {
        const auto m = match(rule.pattern, root);
        if (!m) continue;
        ir::Node* last = root->position == g.nodes().begin() ? nullptr : std::prev(root->position)->get();
        Rewrite rewrite(g, root, *m);
        ir::Value* v = rule.build(rewrite);
        if (v && v != root->out() && can_replace(root->out(), v)) {
          const std::string name = root->out()->name;
          const bool made = v->producer && std::next(v->producer->position) == root->position;
          g.replace_uses(root->out(), v);
          erase_dead(g, root);
          if (made) g.rename(v, name);
          any_change = true;
          break;
        }
        // Declined: what it added so far stands between `last` and the root.
        while (true) {
          auto made = std::prev(root->position);
          if (root->position == g.nodes().begin() || made->get() == last) break;
          g.erase(made->get());
        }
      }
    }
    return any_change;
  };
  auto one = [&](ir::Graph& g) -> Status {
    while (once(g)) changed = true;
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

}  // namespace carnot::passes
