// SPDX-License-Identifier: Apache-2.0
#include "compiler/assign.hpp"

#include <algorithm>

#include "ops/concat.hpp"
#include "ops/group.hpp"

namespace carnot::compiler {
namespace {

// Puts the nodes of a group's body in the place of the group.
Status inline_group(ir::Graph& graph, ir::Node* group) {
  const ir::Graph& body = *group->bodies[0];
  std::map<const ir::Value*, ir::Value*> map{{nullptr, nullptr}};
  for (size_t i = 0; i < body.inputs().size(); ++i) map[body.inputs()[i]] = group->inputs[i];
  for (const auto& v : body.values())
    if (v->constant) map[v.get()] = graph.add_constant(*v->constant, v->name);
  for (const auto& n : body.nodes()) {
    std::vector<ir::Value*> inputs;
    for (const ir::Value* v : n->inputs) inputs.push_back(map.at(v));
    std::vector<ops::ValueFacts> facts;
    for (const ir::Value* v : n->outputs) facts.push_back(v->facts);
    ir::Graph::NodeOptions options;
    options.where = n->where;
    options.before = group;
    ir::Node* copy = graph.add_unchecked(n->op, std::move(inputs), std::move(facts), std::move(options));
    for (size_t i = 0; i < n->outputs.size(); ++i) map[n->outputs[i]] = copy->outputs[i];
  }
  for (size_t i = 0; i < group->outputs.size(); ++i) graph.replace_uses(group->outputs[i], map.at(body.outputs()[i]));
  graph.erase(group);
  return {};
}

// More operands than one launch takes become concatenations of concatenations.
constexpr size_t kJoinedAtOnce = 32;
Status split_concat(ir::Graph& graph, ir::Node* node) {
  std::vector<ir::Value*> joined;
  for (size_t first = 0; first < node->inputs.size(); first += kJoinedAtOnce) {
    const size_t last = std::min(first + kJoinedAtOnce, node->inputs.size());
    std::vector<ir::Value*> part(node->inputs.begin() + static_cast<std::ptrdiff_t>(first), node->inputs.begin() + static_cast<std::ptrdiff_t>(last));
    CARNOT_ASSIGN(ir::Value* const value, graph.add1(node->op, std::move(part), node->where, node));
    joined.push_back(value);
  }
  CARNOT_ASSIGN(ir::Value* const whole, graph.add1(node->op, std::move(joined), node->where, node));
  graph.replace_uses(node->out(), whole);
  graph.erase(node);
  return {};
}

bool on_device(const tactics::Choice& choice) { return choice.tactic && choice.tactic->device() != "cpu"; }

// Shapes, axes and counts: integers that are tracked while building, or few.
bool is_shape_work(const ir::Node& node) {
  return std::all_of(node.outputs.begin(), node.outputs.end(), [](const ir::Value* v) { return v->facts.values.has_value(); });
}
bool is_small(const ir::Value& v) {
  if (is_float(v.dtype())) return false;
  const Dim size = size_of(v.shape());
  return v.facts.values || (size.is_constant() && size.value() <= 256);
}

// A small integer result that no command of the device reads is made on the host: there it is needed, and getting there would make the
// host wait. Backwards, so that chains follow.
Status keep_shapes_on_host(ir::Graph& graph, Assignment& assignment) {
  std::map<const ir::Value*, bool> read_on_device;
  const auto nodes = graph.node_list();
  for (size_t n = nodes.size(); n-- > 0;) {
    ir::Node* const node = nodes[n];
    tactics::Choice& choice = assignment.at(node);
    const bool wanted = std::any_of(node->outputs.begin(), node->outputs.end(), [&](const ir::Value* v) { return read_on_device[v] || !is_small(*v); });
    if (on_device(choice) && !wanted) {
      CARNOT_ASSIGN(choice, tactics::choose({*node}));
    }
    // A view on the device reads its source there.
    const bool passes = node->op.info().view && !node->outputs.empty() && read_on_device[node->outputs[0]];
    if (passes) read_on_device[node->inputs[0]] = true;
    if (!on_device(choice)) continue;
    for (const tactics::Operand& operand : choice.candidate.inputs)
      if (operand.input >= 0) read_on_device[node->inputs[static_cast<size_t>(operand.input)]] = true;
  }
  return {};
}

// Weights exist once: as they came, or as a kernel wants them.
void release_packed(const ir::Graph& graph, const ir::Node& node, const tactics::Candidate& candidate) {
  constexpr size_t kLarge = 64 << 10;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    ir::Value* const v = node.inputs[i];
    if (!v || !v->constant || v->uses.size() != 1 || v->constant->bytes() < kLarge || graph.is_output(v)) continue;
    if (std::any_of(candidate.inputs.begin(), candidate.inputs.end(), [&](const tactics::Operand& o) { return o.input == static_cast<int32_t>(i); })) continue;
    v->constant->data = nullptr;
    v->constant->owner.reset();
  }
}

}  // namespace

Status assign(ir::Graph& graph, const tactics::Target& target, Assignment& assignment, const std::function<Status()>& step, bool frugal) {
  const bool with_device = target.device != "cpu";
  for (size_t round = 0; round < 8; ++round) {
    bool again = false;
    for (ir::Node* node : graph.node_list()) {
      if (assignment.count(node)) continue;
      CARNOT_RETURN_IF_ERROR(step());
      CARNOT_ASSIGN(tactics::Choice choice, tactics::choose({*node, is_shape_work(*node) ? tactics::Target{} : target}));
      // The parts of a group that only the host takes as a whole may run on the device.
      if (choice.candidate.kernel.empty() || (with_device && node->as<ops::Group>() && !on_device(choice))) {
        CARNOT_RETURN_IF_ERROR(inline_group(graph, node));
        again = true;
        continue;
      }
      if (with_device && node->as<ops::Concat>() && node->inputs.size() > kJoinedAtOnce && !on_device(choice) && !is_shape_work(*node)) {
        CARNOT_RETURN_IF_ERROR(split_concat(graph, node));
        again = true;
        continue;
      }
      if (!choice.tactic)
        for (auto& body : node->bodies) CARNOT_RETURN_IF_ERROR(assign(*body, target, assignment, step, frugal));
      if (frugal && choice.tactic) release_packed(graph, *node, choice.candidate);
      assignment.emplace(node, std::move(choice));
    }
    if (!again) return with_device ? keep_shapes_on_host(graph, assignment) : Status();
  }
  return fail(Code::kInternal, "groups are nested too deeply");
}

}  // namespace carnot::compiler
