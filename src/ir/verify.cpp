// SPDX-License-Identifier: Apache-2.0
#include "ir/verify.hpp"

#include <algorithm>
#include <set>
#include <unordered_map>
#include <unordered_set>

namespace carnot::ir {
namespace {

// Two symbolic dims may be written differently and still be equal, so only numbers contradict each other.
Status compare(const Node& node, size_t index, const ops::ValueFacts& stored, const ops::ValueFacts& inferred) {
  const auto wrong = [&](std::string_view what) {
    return at(&node, fail(Code::kInternal, "output {} (%{}) is stored as {}{}, inferred as {}{}: {}", index, node.outputs[index]->name, dtype_name(stored.dtype),
                          to_string(stored.shape), dtype_name(inferred.dtype), to_string(inferred.shape), what));
  };
  if (stored.dtype != inferred.dtype) return wrong("the element types differ");
  if (stored.shape.size() != inferred.shape.size()) return wrong("the ranks differ");
  for (size_t i = 0; i < stored.shape.size(); ++i)
    if (stored.shape[i].is_constant() && inferred.shape[i].is_constant() && !(stored.shape[i] == inferred.shape[i])) return wrong("dimensions differ");
  return {};
}

// Inference without Graph::infer_facts, which would draw fresh symbols and write into bodies.
Status check_types(const Node& node) {
  if (node.op.info().bodies > 0) return {};
  std::vector<TensorView> views(node.inputs.size());
  std::vector<ops::InferCtx::Input> inputs(node.inputs.size());
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const Value* v = node.inputs[i];
    if (!v) continue;
    inputs[i].facts = &v->facts;
    if (v->constant) {
      views[i] = v->constant->view();
      inputs[i].constant = &views[i];
    }
  }
  int64_t next = 0;
  ops::InferCtx ctx(inputs, node.outputs.size(), [&](std::string_view) { return Dim::symbol(fmt::format("$verify{}", next++)); });
  auto facts = node.op.infer(ctx);
  if (!facts) return at(&node, std::move(facts.error()));
  if (facts->size() < node.outputs.size())
    return at(&node, fail(Code::kInternal, "operator '{}' inferred {} outputs of {}", node.op.name(), facts->size(), node.outputs.size()));
  for (size_t i = 0; i < node.outputs.size(); ++i) CARNOT_RETURN_IF_ERROR(compare(node, i, node.outputs[i]->facts, (*facts)[i]));
  return {};
}

Status check_graph(const Graph& graph, int depth);

Status check_bodies(const Node& node, int depth) {
  if (static_cast<int>(node.bodies.size()) != node.op.info().bodies)
    return at(&node, fail(Code::kInternal, "operator '{}' has {} bodies, the node {}", node.op.name(), node.op.info().bodies, node.bodies.size()));
  for (const auto& body : node.bodies) {
    if (!body || body->parent() != node.graph) return at(&node, fail(Code::kInternal, "a body is missing or belongs to another graph"));
    Status status = check_graph(*body, depth + 1);
    if (!status) return at(&node, std::move(status.error()).within(fmt::format("body '{}'", body->name)));
  }
  // A group calls its body with its own operands; control flow has rules of its own (see the operators).
  if (node.op.name() == "group") {
    const Graph& body = *node.bodies[0];
    if (body.inputs().size() != node.inputs.size() || body.outputs().size() < node.outputs.size())
      return at(&node, fail(Code::kInternal, "the body takes {} values and gives {}, the group has {} operands and {} results", body.inputs().size(),
                            body.outputs().size(), node.inputs.size(), node.outputs.size()));
    for (size_t i = 0; i < node.inputs.size(); ++i)
      if (!node.inputs[i] || body.inputs()[i]->dtype() != node.inputs[i]->dtype() || body.inputs()[i]->rank() != node.inputs[i]->rank())
        return at(&node, fail(Code::kInternal, "operand {} does not have the type that the body takes", i));
    for (size_t i = 0; i < node.outputs.size(); ++i) CARNOT_RETURN_IF_ERROR(compare(node, i, node.outputs[i]->facts, body.outputs()[i]->facts));
  }
  return {};
}

Status check_graph(const Graph& graph, int depth) {
  if (depth > 64) return fail(Code::kInternal, "bodies are nested more than 64 deep");
  std::unordered_set<const Value*> defined, owned;
  std::set<std::string_view> names;
  std::unordered_map<const Value*, size_t> uses;
  for (const auto& v : graph.values()) {
    owned.insert(v.get());
    if (!names.insert(v->name).second) return fail(Code::kInternal, "two values have the name %{}", v->name);
    if (graph.find(v->name) != v.get()) return fail(Code::kInternal, "%{} is not found by its name", v->name);
    if (v->graph != &graph) return fail(Code::kInternal, "%{} points to another graph", v->name);
    if (!v->constant) continue;
    if (v->producer) return fail(Code::kInternal, "%{} is a constant and has a producer", v->name);
    if (v->constant->dtype != v->dtype() || to_shape(v->constant->dims) != v->shape()) return fail(Code::kInternal, "constant %{} does not have its own type", v->name);
    defined.insert(v.get());
  }
  for (const Value* v : graph.inputs()) {
    if (!owned.count(v) || v->producer || v->constant) return fail(Code::kInternal, "an input is no free value of this graph");
    if (!defined.insert(v).second) return fail(Code::kInternal, "input %{} stands twice", v->name);
  }
  for (const auto& node : graph.nodes()) {
    if (node->graph != &graph) return at(node.get(), fail(Code::kInternal, "the node points to another graph"));
    const size_t operands = node->inputs.size();
    auto present = std::make_unique<bool[]>(operands);
    for (size_t i = 0; i < operands; ++i) {
      const Value* v = node->inputs[i];
      present[i] = v != nullptr;
      if (!v) continue;
      if (!owned.count(v)) return at(node.get(), fail(Code::kInternal, "operand {} belongs to another graph", i));
      if (!defined.count(v)) return at(node.get(), fail(Code::kInternal, "operand {} (%{}) is used before it is defined", i, v->name));
      if (std::none_of(v->uses.begin(), v->uses.end(), [&](const Use& u) { return u.node == node.get() && u.index == i; }))
        return at(node.get(), fail(Code::kInternal, "%{} does not know of its use as operand {}", v->name, i));
      ++uses[v];
    }
    if (Status arity = ops::check_arity(node->op.info(), {present.get(), operands}, node->outputs.size()); !arity) return at(node.get(), std::move(arity.error()));
    if (node->outputs.empty()) return at(node.get(), fail(Code::kInternal, "the node has no outputs"));
    for (size_t i = 0; i < node->outputs.size(); ++i) {
      const Value* v = node->outputs[i];
      if (!v || !owned.count(v) || v->producer != node.get() || v->producer_index != i || v->constant)
        return at(node.get(), fail(Code::kInternal, "output {} is not a value that this node produces", i));
      if (!defined.insert(v).second) return at(node.get(), fail(Code::kInternal, "%{} is defined twice", v->name));
    }
    CARNOT_RETURN_IF_ERROR(check_types(*node));
    CARNOT_RETURN_IF_ERROR(check_bodies(*node, depth));
  }
  for (const auto& v : graph.values())
    if (v->uses.size() != uses[v.get()]) return fail(Code::kInternal, "%{} lists {} uses, it has {}", v->name, v->uses.size(), uses[v.get()]);
  for (const Value* v : graph.outputs())
    if (!defined.count(v)) return fail(Code::kInternal, "an output is not defined in this graph");
  if (graph.output_names().size() != graph.outputs().size())
    return fail(Code::kInternal, "there are {} outputs and {} names for them", graph.outputs().size(), graph.output_names().size());
  return {};
}

}  // namespace

Status verify(const Graph& graph) {
  Status status = check_graph(graph, 0);
  if (!status) return std::move(status.error()).within(fmt::format("graph '{}'", graph.name));
  return {};
}

}  // namespace carnot::ir
