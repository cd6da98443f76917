// SPDX-License-Identifier: Apache-2.0
// The walk over a model. Private to this folder.
#pragma once
#include <map>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "importers/onnx/import.hpp"
#include "importers/onnx/node.hpp"

namespace carnot::onnx {

// What several attempts to import one model share.
struct Attempts {
  std::vector<bool> guesses;  // the decisions of the last attempt, see NodeContext::guess
  size_t nodes = 0;           // imported so far, in all attempts
};

// What a name stands for. Weights become constants of the graph when they are first used.
struct Binding {
  ir::Value* value = nullptr;  // null with no weight either: an optional input of a function that the caller left out
  const TensorProto* tensor = nullptr;
  const SparseTensorProto* sparse = nullptr;
};

// The names of one ONNX graph or function call.
struct Scope {
  Scope* parent = nullptr;  // whose names are visible too; null for the main graph and for functions
  ir::Graph* graph = nullptr;
  std::unordered_map<std::string_view, Binding> names = {};
  std::vector<Body::Capture> captures = {};
  std::unordered_map<const ir::Value*, ir::Value*> captured = {};  // outer -> inner
  std::span<const NodeProto> nodes = {};              // for messages about names that come later
  const std::vector<OpsetProto>* opsets = nullptr;
  const std::map<std::string_view, const AttributeProto*>* arguments = nullptr;  // of the function call we are in
  std::string prefix = {};                            // of node names: "call/"
  int depth = 0;
  int loops = 0;  // loops and scans around
};

class Importer {
 public:
  Importer(const ModelProto& model, const ImportOptions& options, Tensors& tensors, Attempts& attempts)
      : model_(model), options_(options), tensors_(tensors), attempts_(attempts) {}
  Result<std::unique_ptr<ir::Graph>> run();

  // ---- for NodeContext ------------------------------------------------------------------------------------------------------
  Tensors& tensors() { return tensors_; }
  // `repeats`: the body is run, and inferred, more than once.
  Result<Body> import_body(Scope& outer, const GraphProto& proto, std::span<const ops::ValueFacts> inputs, bool repeats);
  Outputs import_inline(Scope& outer, const GraphProto& proto);
  bool guess();

 private:
  Status check_model();
  Status add_inputs(Scope& scope);
  bool is_stack(std::string_view input, int64_t axis, int64_t rank) const;
  Result<Shape> input_shape(const ValueInfoProto& input, std::span<const DimProto> dims);
  Status add_initializers(Scope& scope, const GraphProto& graph);
  Status import_nodes(Scope& scope, std::span<const NodeProto> nodes);
  Status import_node(Scope& scope, const NodeProto& node, size_t index);
  Outputs convert(Scope& scope, const NodeProto& node, ir::Location where, std::vector<ir::Value*> inputs, size_t outputs);
  Outputs call(Scope& scope, const FunctionProto& f, const NodeProto& node, const ir::Location& where, const std::vector<ir::Value*>& inputs, size_t outputs);
  Outputs outputs_of(Scope& scope, const GraphProto& graph);
  Result<int64_t> opset(const Scope& scope, std::string_view domain) const;
  Result<ir::Value*> lookup(Scope& scope, std::string_view name);
  Error missing(Scope& scope, std::string_view name) const;
  Status bind(Scope& scope, std::string_view name, ir::Value* value);
  std::string symbol(std::string_view wanted, std::string_view otherwise);

  const ModelProto& model_;
  const ImportOptions& options_;
  Tensors& tensors_;
  Attempts& attempts_;
  size_t next_guess_ = 0;
  std::unordered_set<const ir::Value*> bound_;  // values that already have their ONNX name
  std::unordered_set<std::string> symbols_;
  std::unordered_map<std::string, std::string> names_of_dims_;  // the model's name -> our symbol
  std::map<std::string, int, std::less<>> symbol_counts_;
  std::map<std::tuple<std::string_view, std::string_view, std::string_view>, const FunctionProto*> functions_;  // domain, name, overload
  std::vector<const FunctionProto*> calls_;
};

// The row for an operator of this version; exactly one of the two is set in a hit.
struct Target {
  const ops::OpEntry* op = nullptr;
  Outputs (*convert)(NodeContext&) = nullptr;
};
Result<Target> find_target(std::string_view domain, std::string_view op, int64_t version);

}  // namespace carnot::onnx
