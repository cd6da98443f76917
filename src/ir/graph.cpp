// SPDX-License-Identifier: Apache-2.0
#include "ir/graph.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace carnot::ir {

Error at(const Node* node, Error error) {
  const std::string who = node->where.name.empty() ? fmt::format("node of operator '{}'", node->op.name()) : "node " + node->where.str();
  return std::move(error).within(who);
}

std::string Graph::unique_name(std::string_view wanted) {
  std::string base(wanted.empty() ? std::string_view("v") : wanted);
  if (!wanted.empty() && !by_name_.count(base)) return base;
  int& count = name_counts_[base];
  std::string name;
  do name = fmt::format("{}_{}", base, count++);
  while (by_name_.count(name));
  return name;
}

Value* Graph::new_value(std::string_view name, ops::ValueFacts facts) {
  auto value = std::make_unique<Value>();
  value->name = unique_name(name);
  value->facts = std::move(facts);
  value->graph = this;
  by_name_[value->name] = value.get();
  values_.push_back(std::move(value));
  return values_.back().get();
}

Value* Graph::add_input(std::string_view name, DType dtype, Shape shape) {
  Value* value = new_value(name, {dtype, std::move(shape)});
  inputs_.push_back(value);
  return value;
}

Value* Graph::add_constant(Constant constant, std::string_view name) {
  Value* value = new_value(name, {constant.dtype, to_shape(constant.dims)});
  value->constant = std::move(constant);
  return value;
}

Dim Graph::fresh_dim(std::string_view) { return Dim::symbol(fmt::format("${}", root()->next_symbol_++)); }

void Graph::reserve_symbols(int64_t next) { root()->next_symbol_ = std::max(root()->next_symbol_, next); }

Result<ops::Facts> Graph::infer_facts(Node* node) const {
  std::vector<TensorView> views(node->inputs.size());
  std::vector<ops::InferCtx::Input> inputs(node->inputs.size());
  for (size_t i = 0; i < node->inputs.size(); ++i) {
    const Value* v = node->inputs[i];
    if (!v) continue;
    inputs[i].facts = &v->facts;
    if (v->constant) {
      views[i] = v->constant->view();
      inputs[i].constant = &views[i];
    }
  }
  auto* self = const_cast<Graph*>(this);
  auto body = [&](size_t k, std::span<const ops::ValueFacts> in) -> Result<ops::Facts> {
    if (k >= node->bodies.size()) return invalid("body {} is missing", k);
    Graph& g = *node->bodies[k];
    if (in.size() != g.inputs().size()) return invalid("body {} takes {} inputs, got {}", k, g.inputs().size(), in.size());
    for (size_t i = 0; i < in.size(); ++i) g.inputs()[i]->facts = in[i];
    CARNOT_RETURN_IF_ERROR(g.infer_all());
    ops::Facts out;
    for (const Value* v : g.outputs()) {
      out.push_back(v->facts);
      if (v->constant && !out.back().values && is_integer(v->dtype()) && v->constant->size() <= ops::kMaxTrackedValues)
        if (auto ints = to_int64s(v->constant->view())) out.back().values = std::vector<Dim>(ints->begin(), ints->end());
    }
    return out;
  };
  ops::InferCtx ctx(inputs, node->outputs.size(), [self](std::string_view hint) { return self->fresh_dim(hint); }, body);
  return node->op.infer(ctx);
}

Status Graph::infer(Node* node) {
  auto facts = infer_facts(node);
  if (!facts) return at(node, std::move(facts.error()));
  if (facts->size() < node->outputs.size())
    return at(node, fail(Code::kInternal, "operator '{}' inferred {} outputs of {}", node->op.name(), facts->size(), node->outputs.size()));
  for (size_t i = 0; i < node->outputs.size(); ++i)
    if (node->outputs[i]) node->outputs[i]->facts = std::move((*facts)[i]);
  return {};
}

Status Graph::infer_all() {
  for (const auto& node : nodes_) CARNOT_RETURN_IF_ERROR(infer(node.get()));
  return {};
}

Node* Graph::add_unchecked(ops::Operator op, std::vector<Value*> inputs, std::vector<ops::ValueFacts> outputs, NodeOptions options) {
  auto node = std::make_unique<Node>();
  node->op = std::move(op);
  node->inputs = std::move(inputs);
  node->bodies = std::move(options.bodies);
  node->where = std::move(options.where);
  node->graph = this;
  for (auto& body : node->bodies) body->parent_ = this;
  for (size_t i = 0; i < node->inputs.size(); ++i)
    if (node->inputs[i]) node->inputs[i]->uses.push_back({node.get(), i});
  for (size_t i = 0; i < outputs.size(); ++i) {
    Value* v = new_value(i < options.out_names.size() ? options.out_names[i] : "", std::move(outputs[i]));
    v->producer = node.get();
    v->producer_index = i;
    node->outputs.push_back(v);
  }
  Node* raw = node.get();
  raw->position = nodes_.insert(options.before ? options.before->position : nodes_.end(), std::move(node));
  return raw;
}

Result<Node*> Graph::add(ops::Operator op, std::vector<Value*> inputs, NodeOptions options) {
  while (!inputs.empty() && !inputs.back()) inputs.pop_back();
  auto present = std::make_unique<bool[]>(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) present[i] = inputs[i] != nullptr;
  const size_t outputs = options.outputs;
  const ops::OpInfo& info = op.info();
  // Body operators take captured values behind their own operands, so only their lower bound is checked here.
  Status arity = ops::check_arity(info, {present.get(), inputs.size()}, outputs);
  Node* node = add_unchecked(std::move(op), std::move(inputs), std::vector<ops::ValueFacts>(outputs), std::move(options));
  Status status = arity ? infer(node) : Status(at(node, std::move(arity.error())));
  if (!status) {
    erase(node);
    return std::move(status.error());
  }
  return node;
}

Result<Value*> Graph::add1(ops::Operator op, std::vector<Value*> inputs, Location where, Node* before) {
  NodeOptions options;
  options.where = std::move(where);
  options.before = before;
  CARNOT_ASSIGN(Node * node, add(std::move(op), std::move(inputs), std::move(options)));
  return node->outputs[0];
}

void Graph::drop_use(Value* value, Node* node, size_t index) {
  auto it = std::find_if(value->uses.begin(), value->uses.end(), [&](const Use& u) { return u.node == node && u.index == index; });
  CARNOT_CHECK(it != value->uses.end());
  value->uses.erase(it);
}

void Graph::set_input(Node* node, size_t index, Value* value) {
  if (index == node->inputs.size()) node->inputs.push_back(nullptr);
  if (Value* old = node->inputs[index]) drop_use(old, node, index);
  node->inputs[index] = value;
  if (value) value->uses.push_back({node, index});
}

void Graph::remove_input(Node* node, size_t index) {
  for (size_t i = index; i + 1 < node->inputs.size(); ++i) set_input(node, i, node->inputs[i + 1]);
  set_input(node, node->inputs.size() - 1, nullptr);
  node->inputs.pop_back();
}

void Graph::replace_uses(Value* from, Value* to) {
  if (from == to) return;
  const std::vector<Use> uses = from->uses;
  for (const Use& use : uses) set_input(use.node, use.index, to);
  for (Value*& output : outputs_)
    if (output == from) output = to;
  if (!from->source.empty()) to->source = from->source;
}

void Graph::erase(Node* node) {
  for (size_t i = 0; i < node->inputs.size(); ++i)
    if (node->inputs[i]) drop_use(node->inputs[i], node, i);
  std::unordered_set<Value*> gone;
  for (Value* v : node->outputs) {
    if (!v) continue;
    CARNOT_CHECK(v->uses.empty());
    by_name_.erase(v->name);
    gone.insert(v);
  }
  // Outputs are mostly the newest values when a node is rolled back: search from the end.
  for (size_t left = gone.size(), i = values_.size(); left > 0 && i-- > 0;)
    if (gone.count(values_[i].get())) {
      values_.erase(values_.begin() + static_cast<std::ptrdiff_t>(i));
      --left;
    }
  nodes_.erase(node->position);
}

void Graph::move_before(Node* node, Node* other) { nodes_.splice(other->position, nodes_, node->position); }

void Graph::drop_unused_constants() {
  std::erase_if(values_, [&](const std::unique_ptr<Value>& v) {
    if (!v->constant || !v->uses.empty() || is_output(v.get())) return false;
    by_name_.erase(v->name);
    return true;
  });
}

void Graph::rename(Value* value, std::string_view name) {
  if (value->name == name) return;
  by_name_.erase(value->name);
  if (Value* other = find(name)) {
    by_name_.erase(other->name);
    other->name = unique_name(fmt::format("{}_", name));
    by_name_[other->name] = other;
  }
  value->name = std::string(name);
  by_name_[value->name] = value;
}

void Graph::set_outputs(std::vector<Value*> outputs, std::vector<std::string> names) {
  outputs_ = std::move(outputs);
  output_names_ = std::move(names);
  for (size_t i = output_names_.size(); i < outputs_.size(); ++i) output_names_.push_back(outputs_[i]->name);
}

std::vector<Node*> Graph::node_list() const {
  std::vector<Node*> out;
  out.reserve(nodes_.size());
  for (const auto& n : nodes_) out.push_back(n.get());
  return out;
}

bool Graph::is_output(const Value* value) const { return std::find(outputs_.begin(), outputs_.end(), value) != outputs_.end(); }

Value* Graph::find(std::string_view name) const {
  auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second;
}

std::unique_ptr<Graph> Graph::clone(Graph* parent) const {
  auto copy = std::make_unique<Graph>(parent);
  copy->metadata = metadata;
  copy->name = name;
  copy->next_symbol_ = next_symbol_;
  std::unordered_map<const Value*, Value*> map{{nullptr, nullptr}};
  for (const Value* v : inputs_) {
    map[v] = copy->add_input(v->name, v->dtype(), v->shape());
    map[v]->facts = v->facts;
  }
  for (const auto& v : values_)
    if (v->constant) {
      map[v.get()] = copy->add_constant(*v->constant, v->name);
      map[v.get()]->facts = v->facts;
    }
  for (const auto& n : nodes_) {
    NodeOptions options;
    options.where = n->where;
    for (const auto& body : n->bodies) options.bodies.push_back(body->clone(copy.get()));
    std::vector<Value*> inputs;
    for (const Value* v : n->inputs) inputs.push_back(map.at(v));
    std::vector<ops::ValueFacts> facts;
    for (const Value* v : n->outputs) {
      facts.push_back(v->facts);
      options.out_names.push_back(v->name);
    }
    Node* node = copy->add_unchecked(n->op, std::move(inputs), std::move(facts), std::move(options));
    for (size_t i = 0; i < n->outputs.size(); ++i) {
      map[n->outputs[i]] = node->outputs[i];
      node->outputs[i]->source = n->outputs[i]->source;
    }
  }
  for (const Value* v : outputs_) copy->outputs_.push_back(map.at(v));
  copy->output_names_ = output_names_;
  return copy;
}

}  // namespace carnot::ir
