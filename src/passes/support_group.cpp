// SPDX-License-Identifier: Apache-2.0
#include "passes/support_group.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "ops/group.hpp"

namespace carnot::passes {
namespace {

constexpr size_t kMaxNames = 6;

// The names of the nodes, the first and last few of long regions.
ir::Location where_of(const std::vector<ir::Node*>& nodes) {
  ir::Location out;
  size_t named = 0, shown = 0;
  for (const ir::Node* n : nodes) named += !n->where.name.empty();
  size_t i = 0;
  for (const ir::Node* n : nodes) {
    if (n->where.name.empty()) continue;
    const size_t place = i++;
    if (named > kMaxNames && place >= kMaxNames / 2 && place + kMaxNames / 2 < named) {
      if (place == kMaxNames / 2) out.name += "+...";
      continue;
    }
    out.name += (shown ? "+" : "") + n->where.name;
    out.type += (shown++ ? "+" : "") + n->where.type;
  }
  return out;
}

}  // namespace

Result<ir::Node*> make_group(ir::Graph& graph, const std::vector<ir::Node*>& nodes, std::string kind) {
  const std::unordered_set<const ir::Node*> inside(nodes.begin(), nodes.end());
  auto body = std::make_unique<ir::Graph>(&graph);
  body->name = kind;
  std::unordered_map<const ir::Value*, ir::Value*> map{{nullptr, nullptr}};
  std::vector<ir::Value*> operands, results;
  for (const ir::Node* node : nodes)
    for (ir::Value* v : node->inputs) {
      if (!v || map.count(v) || (v->producer && inside.count(v->producer))) continue;
      // An anchor's weights and bias stay operands even if they hold one element: kernels prepare them.
      if (v->constant && v->constant->size() == 1 && node->op.info().pointwise) {
        map[v] = body->add_constant(*v->constant, v->name);
        continue;
      }
      map[v] = body->add_input(v->name, v->dtype(), v->shape());
      map[v]->facts = v->facts;
      operands.push_back(v);
    }
  for (const ir::Node* node : nodes) {
    ir::Graph::NodeOptions options;
    options.where = node->where;
    std::vector<ir::Value*> inputs;
    for (const ir::Value* v : node->inputs) inputs.push_back(map.at(v));
    std::vector<ops::ValueFacts> facts;
    for (ir::Value* v : node->outputs) {
      facts.push_back(v->facts);
      options.out_names.push_back(v->name);
      const bool needed = graph.is_output(v) || std::any_of(v->uses.begin(), v->uses.end(), [&](const ir::Use& u) { return !inside.count(u.node); });
      if (needed) results.push_back(v);
    }
    ir::Node* copy = body->add_unchecked(node->op, std::move(inputs), std::move(facts), std::move(options));
    for (size_t i = 0; i < node->outputs.size(); ++i) map[node->outputs[i]] = copy->outputs[i];
  }
  std::vector<ir::Value*> body_outputs;
  std::vector<ops::ValueFacts> facts;
  for (const ir::Value* v : results) {
    body_outputs.push_back(map.at(v));
    facts.push_back(v->facts);
  }
  body->set_outputs(std::move(body_outputs));
  ir::Graph::NodeOptions options;
  options.where = where_of(nodes);
  options.bodies.push_back(std::move(body));
  options.before = nodes.back();
  ir::Node* group = graph.add_unchecked(ops::Operator(ops::Group{std::move(kind)}), std::move(operands), std::move(facts), std::move(options));
  std::vector<std::string> names;
  for (size_t i = 0; i < results.size(); ++i) {
    names.push_back(results[i]->name);
    graph.replace_uses(results[i], group->outputs[i]);
  }
  for (size_t i = nodes.size(); i-- > 0;) graph.erase(nodes[i]);
  for (size_t i = 0; i < names.size(); ++i) graph.rename(group->outputs[i], names[i]);
  // Users of a result may stand before the place of the last node: they move behind the group, in their order.
  std::unordered_set<const ir::Node*> late{group};
  std::vector<ir::Node*> moved;
  bool passed = false;
  for (ir::Node* n : graph.node_list()) {
    if (n == group) {
      passed = true;
      break;
    }
    const bool depends = std::any_of(n->inputs.begin(), n->inputs.end(), [&](const ir::Value* v) { return v && v->producer && late.count(v->producer); });
    if (!depends) continue;
    late.insert(n);
    moved.push_back(n);
  }
  CARNOT_CHECK(passed);
  const auto next = std::next(group->position);
  for (ir::Node* n : moved) {
    if (next == graph.nodes().end()) {
      // There is no "move to the end": bring the group in front of the node instead, one after the other keeps their order.
      ir::Node* last = graph.nodes().back().get();
      graph.move_before(n, last);
      graph.move_before(last, n);
    } else {
      graph.move_before(n, next->get());
    }
  }
  return group;
}

void inline_body(ir::Graph& graph, ir::Node* node, size_t k, size_t first_operand) {
  const ir::Graph& body = *node->bodies[k];
  std::unordered_map<const ir::Value*, ir::Value*> map{{nullptr, nullptr}};
  for (size_t i = 0; i < body.inputs().size(); ++i) map[body.inputs()[i]] = node->in(first_operand + i);
  for (const auto& v : body.values())
    if (v->constant) {
      map[v.get()] = graph.add_constant(*v->constant, v->name);
      map[v.get()]->facts = v->facts;
    }
  for (const auto& n : body.nodes()) {
    ir::Graph::NodeOptions options;
    options.where = n->where;
    options.before = node;
    std::vector<ir::Value*> inputs;
    for (const ir::Value* v : n->inputs) inputs.push_back(map.at(v));
    std::vector<ops::ValueFacts> facts;
    for (const ir::Value* v : n->outputs) {
      facts.push_back(v->facts);
      options.out_names.push_back(v->name);
    }
    for (const auto& inner : n->bodies) options.bodies.push_back(inner->clone(&graph));
    ir::Node* copy = graph.add_unchecked(n->op, std::move(inputs), std::move(facts), std::move(options));
    for (size_t i = 0; i < n->outputs.size(); ++i) map[n->outputs[i]] = copy->outputs[i];
  }
  for (size_t i = 0; i < node->outputs.size(); ++i) graph.replace_uses(node->outputs[i], map.at(body.outputs()[i]));
  graph.erase(node);
}

}  // namespace carnot::passes
