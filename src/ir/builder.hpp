// SPDX-License-Identifier: Apache-2.0
// How graphs are made from outside: by importers and by the layer API. Operators go by their names in the vocabulary.
//
//   ir::Builder b(graph);
//   b.at({"Conv_3", "Conv"});
//   CARNOT_ASSIGN(ir::Value * y, b.add1("conv", {x, w, bias}, {{"group", int64_t{1}}}));
//   CARNOT_ASSIGN(ir::Value * z, b.add1("reshape", {y, b.ints({0, -1})}));
//
// With folding on, a node whose operands are all known and small becomes a constant at once, so that the shape arithmetic of
// exporters is gone before the nodes that depend on its values are added.
#pragma once
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.hpp"

namespace carnot::ir {

class Builder {
 public:
  explicit Builder(Graph& graph, bool fold = false) : graph_(&graph), fold_(fold) {}

  Graph& graph() const { return *graph_; }
  // The source location of the nodes added from now on.
  void at(Location where) { where_ = std::move(where); }
  const Location& where() const { return where_; }

  struct Options {
    size_t outputs = 1;
    std::vector<std::string> out_names = {};  // wanted names
    std::vector<std::unique_ptr<Graph>> bodies = {};
  };
  // The outputs of the new node (or the constants it folded to). Errors name the node by its location.
  Result<std::vector<Value*>> add(std::string_view op, std::vector<Value*> inputs, const Attrs& attrs, Options options);
  Result<Value*> add1(std::string_view op, std::vector<Value*> inputs, const Attrs& attrs = {});

  Value* constant(Constant constant, std::string_view name = "c") { return graph_->add_constant(std::move(constant), name); }
  // A 1-d int64 constant, as axes, shapes and sizes are given.
  Value* ints(const std::vector<int64_t>& values);
  // A scalar of this dtype; null for dtypes without numbers.
  Value* scalar(DType dtype, double value);

 private:
  // Replaces the node by constants if its outputs are known; null if they are not.
  std::vector<Value*> fold(Node* node);

  Graph* graph_;
  bool fold_;
  Location where_;
};

}  // namespace carnot::ir
