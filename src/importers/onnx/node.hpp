// SPDX-License-Identifier: Apache-2.0
// What a converter sees of a node: its operands, its attributes, and a builder for what it becomes. A converter is one function in
// a file convert_<operator>.cpp of its own, for an ONNX operator (or some of its versions) that is no operator of ours attribute for
// attribute. The table of converters is made of the file names.
//
//   Outputs flatten(NodeContext& n) {
//     CARNOT_ASSIGN(const int64_t axis, n.int_attr("axis", 1));
//     return n.emit("reshape", {n.in(0), ...});
//   }
//   CARNOT_CONVERTERS(convert_flatten, {"Flatten", 1, kLatest, flatten})
#pragma once
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "importers/onnx/tensors.hpp"
#include "importers/onnx/wire.hpp"
#include "ir/builder.hpp"

namespace carnot::onnx {

class Importer;
struct Scope;

using Outputs = Result<std::vector<ir::Value*>>;

// A subgraph that became the body of a node.
struct Body {
  std::unique_ptr<ir::Graph> graph;
  struct Capture {
    ir::Value* outer;
    ir::Value* inner;
  };
  std::vector<Capture> captures;  // values of the outer graph that it uses, in order of first use
};

class NodeContext {
 public:
  NodeContext(Importer& importer, Scope& scope, const NodeProto& proto, std::vector<ir::Value*> inputs, size_t outputs, int64_t opset, ir::Builder& builder)
      : importer_(importer), scope_(scope), proto_(proto), inputs_(std::move(inputs)), outputs_(outputs), opset_(opset), b_(builder) {}

  // ---- operands -------------------------------------------------------------------------------------------------------------
  size_t inputs() const { return inputs_.size(); }
  bool has(size_t i) const { return i < inputs_.size() && inputs_[i]; }
  ir::Value* in(size_t i) const { return i < inputs_.size() ? inputs_[i] : nullptr; }
  const std::vector<ir::Value*>& all_inputs() const { return inputs_; }
  // An error unless inputs 0..count-1 are there (and, with `most`, no more than that).
  Status need(size_t count, size_t most = SIZE_MAX) const;
  // The elements of an integer input that is known now, else an error that says so.
  Result<std::vector<int64_t>> known_ints(size_t i, std::string_view what) const;
  size_t outputs() const { return outputs_; }  // up to the last one that has a name
  size_t listed_outputs() const { return proto_.outputs.size(); }  // unnamed ones at the end too
  int64_t opset() const { return opset_; }
  std::string_view type() const { return proto_.op_type; }

  // ---- attributes: wrong types are errors -----------------------------------------------------------------------------------
  bool has_attr(std::string_view name) const { return attr(name) != nullptr; }
  const AttributeProto* attr(std::string_view name) const;  // null if absent
  Result<int64_t> int_attr(std::string_view name, int64_t otherwise) const;
  Result<double> float_attr(std::string_view name, double otherwise) const;
  Result<std::string> string_attr(std::string_view name, std::string_view otherwise) const;
  Result<std::vector<int64_t>> ints_attr(std::string_view name, std::vector<int64_t> otherwise = {}) const;
  Result<Constant> tensor_attr(std::string_view name) const;
  Result<Constant> sparse_attr(std::string_view name) const;
  // All attributes by name, but for those listed.
  Result<Attrs> attrs(std::initializer_list<std::string_view> except = {}) const;

  // ---- what it becomes ------------------------------------------------------------------------------------------------------
  ir::Builder& build() { return b_; }
  Outputs emit(std::string_view op, std::vector<ir::Value*> inputs, const Attrs& attrs = {}, size_t outputs = 1);
  Result<ir::Value*> emit1(std::string_view op, std::vector<ir::Value*> inputs, const Attrs& attrs = {}) { return b_.add1(op, std::move(inputs), attrs); }
  ir::Value* ints(const std::vector<int64_t>& values) { return b_.ints(values); }

  // ---- subgraphs ------------------------------------------------------------------------------------------------------------
  Result<const GraphProto*> graph_attr(std::string_view name) const;
  // The subgraph as a graph of its own, its inputs with these facts (declared types are not looked at).
  Result<Body> body(std::string_view attr, std::span<const ops::ValueFacts> inputs);
  // The nodes of the subgraph as if they stood here. For an If whose condition is known.
  Outputs inline_graph(std::string_view attr);
  // A decision that only the rest of the graph can judge: true at first, otherwise when the import failed with that.
  bool guess();
  // One list of captures for several bodies: every body takes all of them behind its own inputs, in this order.
  static std::vector<ir::Value*> merge_captures(std::span<Body> bodies);

 private:
  Importer& importer_;
  Scope& scope_;
  const NodeProto& proto_;
  std::vector<ir::Value*> inputs_;
  size_t outputs_;
  int64_t opset_;
  ir::Builder& b_;
};

inline constexpr int kLatest = 1 << 30;
struct ConverterRow {
  std::string_view op;
  int since, until;
  Outputs (*convert)(NodeContext&);
  std::string_view domain = "";
};

// All rows of all convert_*.cpp.
std::vector<ConverterRow> all_converters();

}  // namespace carnot::onnx

// `file` is the file's name without .cpp.
#define CARNOT_CONVERTERS(file, ...) \
  std::vector<ConverterRow> rows_of_##file() { return {__VA_ARGS__}; }
