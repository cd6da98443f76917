// SPDX-License-Identifier: Apache-2.0
// Level 1: the graph. Values with dtype and symbolic shape; nodes = operator + operands + location in the source model; bodies
// (subgraphs) for control flow and for `group`, the node that holds a fused region.
//
// Nodes stand in an order in which every operand comes before its use. Bodies see nothing of the outer graph: whatever they need
// is an operand of their node (see ops/if_op.hpp for the order), so a pass never looks for hidden uses.
#pragma once
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ops/operator.hpp"

namespace carnot::ir {

class Graph;
struct Node;

struct Use {
  Node* node;
  size_t index;
};

struct Value {
  std::string name;  // unique within its graph
  ops::ValueFacts facts;
  std::optional<Constant> constant;  // a weight: neither produced nor an input
  Node* producer = nullptr;
  size_t producer_index = 0;
  std::vector<Use> uses;  // operands of nodes of this graph; being a graph output is no use
  Graph* graph = nullptr;
  // The value of the source model that this one equals, up to layout; empty: none, or nobody asked (see compiler/check.hpp). Follows
  // replace_uses().
  std::string source;

  DType dtype() const { return facts.dtype; }
  const Shape& shape() const { return facts.shape; }
  size_t rank() const { return facts.shape.size(); }
  bool is_constant() const { return constant.has_value(); }
};

// Where a node came from: names of the source model, for messages and profiles.
struct Location {
  std::string name;  // "Conv_12"; several joined by '+' after fusion
  std::string type;  // "Conv"
  std::string str() const { return type.empty() ? "'" + name + "'" : "'" + name + "' (" + type + ")"; }
};

struct Node {
  ops::Operator op;
  std::vector<Value*> inputs;   // null: optional operand absent
  std::vector<Value*> outputs;  // never null; an unwanted one just has no use
  std::vector<std::unique_ptr<Graph>> bodies;
  Location where;
  Graph* graph = nullptr;
  std::list<std::unique_ptr<Node>>::iterator position;

  template <typename T>
  const T* as() const {
    return op.as<T>();
  }
  bool has(size_t i) const { return i < inputs.size() && inputs[i]; }
  Value* in(size_t i) const { return i < inputs.size() ? inputs[i] : nullptr; }
  Value* out(size_t i = 0) const { return outputs[i]; }
};

class Graph {
 public:
  // A root graph, or with `parent` a body that takes its fresh symbols from the root.
  explicit Graph(Graph* parent = nullptr) : parent_(parent) {}
  Graph(const Graph&) = delete;

  // ---- building -------------------------------------------------------------------------------------------------------------
  // A taken or empty name gets a suffix.
  Value* add_input(std::string_view name, DType dtype, Shape shape);
  Value* add_constant(Constant constant, std::string_view name = "c");
  // Appends a node (or inserts it before `before`), infers its outputs and returns it. The error names the node by `where`.
  // `out_names`: wanted names; an empty one is made up. Outputs the operator has beyond `outputs` are not wanted.
  struct NodeOptions {
    Location where = {};
    size_t outputs = 1;
    std::vector<std::string> out_names = {};
    std::vector<std::unique_ptr<Graph>> bodies = {};
    Node* before = nullptr;
  };
  Result<Node*> add(ops::Operator op, std::vector<Value*> inputs, NodeOptions options);
  // One-output shorthand.
  Result<Value*> add1(ops::Operator op, std::vector<Value*> inputs, Location where = {}, Node* before = nullptr);
  // For the parser: a node whose output facts are given, not inferred.
  Node* add_unchecked(ops::Operator op, std::vector<Value*> inputs, std::vector<ops::ValueFacts> outputs, NodeOptions options);

  // ---- changing -------------------------------------------------------------------------------------------------------------
  void set_input(Node* node, size_t index, Value* value);  // also appends when index == inputs.size()
  void remove_input(Node* node, size_t index);
  // Every operand and graph output `from` becomes `to`.
  void replace_uses(Value* from, Value* to);
  // The node's outputs must be unused.
  void erase(Node* node);
  // Moves the node right before another of the same graph.
  void move_before(Node* node, Node* other);
  // Runs inference for one node again and stores the facts.
  Status infer(Node* node);
  // What infer(node) would give, without storing it.
  Result<ops::Facts> infer_facts(Node* node) const;
  // Infers all nodes in order, bodies included: after changing an input's shape, say.
  Status infer_all();
  // Removes constants that nobody uses.
  void drop_unused_constants();
  void rename(Value* value, std::string_view name);

  // ---- looking --------------------------------------------------------------------------------------------------------------
  const std::list<std::unique_ptr<Node>>& nodes() const { return nodes_; }
  // A copy of the order, safe to walk while nodes are added and erased (erased ones must be skipped by the caller).
  std::vector<Node*> node_list() const;
  const std::vector<Value*>& inputs() const { return inputs_; }
  const std::vector<Value*>& outputs() const { return outputs_; }
  // `names` are what the user knows the outputs by (root graphs; empty: the values' names). Passes never touch them.
  void set_outputs(std::vector<Value*> outputs, std::vector<std::string> names = {});
  const std::vector<std::string>& output_names() const { return output_names_; }
  std::vector<Value*>& mutable_outputs() { return outputs_; }
  std::vector<Value*>& mutable_inputs() { return inputs_; }
  const std::vector<std::unique_ptr<Value>>& values() const { return values_; }
  bool is_output(const Value* value) const;
  Value* find(std::string_view name) const;
  Graph* parent() const { return parent_; }
  Graph* root() { return parent_ ? parent_->root() : this; }
  // A symbol that no other graph of this root has: "$0", "$1" ...
  Dim fresh_dim(std::string_view hint);
  void reserve_symbols(int64_t next);

  // A deep copy with the same names, under another parent.
  std::unique_ptr<Graph> clone(Graph* parent) const;

  // Free text of the source model.
  std::map<std::string, std::string> metadata;
  std::string name = "main";

 private:
  Value* new_value(std::string_view name, ops::ValueFacts facts);
  std::string unique_name(std::string_view wanted);
  void drop_use(Value* value, Node* node, size_t index);

  Graph* parent_;
  std::vector<std::unique_ptr<Value>> values_;
  std::list<std::unique_ptr<Node>> nodes_;
  std::vector<Value*> inputs_, outputs_;
  std::vector<std::string> output_names_;
  std::map<std::string, Value*, std::less<>> by_name_;
  std::map<std::string, int, std::less<>> name_counts_;
  int64_t next_symbol_ = 0;
};

// "node 'Conv_12' (Conv): ..." in front of an error.
Error at(const Node* node, Error error);

}  // namespace carnot::ir
