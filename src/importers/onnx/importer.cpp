// SPDX-License-Identifier: Apache-2.0
#include "importers/onnx/importer.hpp"

#include <algorithm>
#include <functional>

namespace carnot::onnx {
namespace {

constexpr size_t kMaxNodes = 1'000'000;  // after functions are expanded
constexpr size_t kMaxAttributes = 1000;  // of one node
constexpr size_t kMaxOpsets = 1000;      // of one model or function
constexpr int kMaxLoops = 8;             // inside each other: inference doubles with each
constexpr int64_t kNewestOpset = 28;     // of ai.onnx
constexpr int64_t kNewestIr = 14;

// Names come from strangers: short and printable in messages.
std::string shown(std::string_view name) {
  std::string out(name.substr(0, 200));
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20) c = '?';
  return name.size() > 200 ? out + "..." : out;
}

std::string_view plain_domain(std::string_view domain) { return domain == "ai.onnx" ? std::string_view() : domain; }

ir::Location location(const Scope& scope, const NodeProto& node, size_t index) {
  const std::string name = node.name.empty() ? fmt::format("{}_{}", shown(node.op_type), index) : shown(node.name);
  const std::string_view domain = plain_domain(node.domain);
  return {scope.prefix + name, domain.empty() ? shown(node.op_type) : fmt::format("{}.{}", shown(domain), shown(node.op_type))};
}

}  // namespace

// ---- names -------------------------------------------------------------------------------------------------------------------

Status Importer::bind(Scope& scope, std::string_view name, ir::Value* value) {
  if (!scope.names.emplace(name, Binding{.value = value}).second) return invalid("value '{}' is defined twice", shown(name));
  // Values that converters made have made-up names.
  if (value && bound_.insert(value).second && value->name != name && value->graph == scope.graph && !scope.graph->find(name))
    scope.graph->rename(value, name);
  return {};
}

Result<ir::Value*> Importer::lookup(Scope& scope, std::string_view name) {
  if (auto it = scope.names.find(name); it != scope.names.end()) {
    Binding& b = it->second;
    if (b.value || (!b.tensor && !b.sparse)) return b.value;
    CARNOT_ASSIGN(Constant constant, b.tensor ? tensors_.constant(*b.tensor) : tensors_.dense(*b.sparse));
    b.value = scope.graph->add_constant(std::move(constant), name);
    bound_.insert(b.value);
    return b.value;
  }
  if (!scope.parent) return missing(scope, name);
  auto found = lookup(*scope.parent, name);
  // What this very graph defines later is the better explanation.
  if (!found) return std::move(missing(scope, name));
  ir::Value* outer = *found;
  if (!outer || scope.graph == scope.parent->graph) return outer;
  ir::Value* inner;
  if (outer->constant) {
    inner = scope.graph->add_constant(*outer->constant, outer->name);
    inner->facts = outer->facts;
  } else {
    // A value may be known under two names; one operand is enough.
    if (const auto it = scope.captured.find(outer); it != scope.captured.end()) return scope.names[name].value = it->second;
    inner = scope.graph->add_input(outer->name, outer->dtype(), outer->shape());
    inner->facts = outer->facts;
    scope.captures.push_back({outer, inner});
    scope.captured[outer] = inner;
  }
  bound_.insert(inner);
  scope.names[name] = Binding{.value = inner};
  return inner;
}

Error Importer::missing(Scope& scope, std::string_view name) const {
  for (const Scope* s = &scope; s; s = s->parent)
    for (size_t i = 0; i < s->nodes.size(); ++i) {
      const NodeProto& n = s->nodes[i];
      if (std::find(n.outputs.begin(), n.outputs.end(), name) == n.outputs.end()) continue;
      return invalid("'{}' is computed by {}, which does not come before this node: the nodes are not sorted, or they form a cycle", shown(name),
                     location(*s, n, i).str());
    }
  return invalid("'{}' is defined nowhere: it is no input, no initializer and no output of an earlier node", shown(name));
}

// Symbols consist of letters, digits and _ . : / and do not look like a number or like one of the graph's own ($0).
std::string Importer::symbol(std::string_view wanted, std::string_view otherwise) {
  const auto legal = [](std::string_view text) {
    std::string out;
    for (const char c : text.substr(0, 100)) {
      const bool good = std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == ':' || c == '/';
      out += good ? c : '_';
    }
    const bool speaks = std::any_of(out.begin(), out.end(), [](unsigned char c) { return std::isalpha(c); });
    if (speaks && std::isdigit(static_cast<unsigned char>(out[0]))) out = "_" + out;
    return speaks ? out : std::string();
  };
  std::string source = fmt::format("name {}", wanted);
  std::string base = legal(wanted);
  if (base.empty()) {
    source = fmt::format("axis {}", otherwise);
    base = legal(otherwise);
    if (base.empty()) base = fmt::format("d_{}", otherwise.size());
  }
  // Two names of the model must not become one symbol, and a name is always the same.
  std::string name = base;
  if (const auto it = names_of_dims_.find(source); it != names_of_dims_.end()) return it->second;
  while (!symbols_.insert(name).second) name = fmt::format("{}_{}", base, ++symbol_counts_[base]);
  return names_of_dims_[source] = name;
}

Result<int64_t> Importer::opset(const Scope& scope, std::string_view domain) const {
  domain = plain_domain(domain);
  for (const std::vector<OpsetProto>* opsets : {scope.opsets, &model_.opsets})
    for (const OpsetProto& o : *opsets)
      if (plain_domain(o.domain) == domain) return o.version;
  if (domain.empty() && model_.ir_version < 3) return 1;
  return invalid("the model imports no opset of domain '{}'", domain.empty() ? std::string("ai.onnx") : shown(domain));
}

// ---- the model ---------------------------------------------------------------------------------------------------------------

Status Importer::check_model() {
  if (!model_.has_graph || model_.ir_version <= 0) return fail(Code::kDataCorrupt, "not an ONNX model: there is no {}", model_.has_graph ? "IR version" : "graph");
  if (model_.ir_version > kNewestIr)
    return fail(Code::kUnsupported, "IR version {} is newer than {}, the newest known; export the model with an older one", model_.ir_version, kNewestIr);
  if (model_.opsets.size() > kMaxOpsets) return invalid("the model imports more than {} opsets", kMaxOpsets);
  for (const FunctionProto& f : model_.functions) {
    if (f.opsets.size() > kMaxOpsets) return invalid("function '{}' imports more than {} opsets", shown(f.name), kMaxOpsets);
    functions_.emplace(std::tuple(plain_domain(f.domain), f.name, f.overload), &f);
  }
  if (model_.opsets.empty() && model_.ir_version >= 3) return fail(Code::kDataCorrupt, "the model imports no opset");
  for (const OpsetProto& o : model_.opsets) {
    if (o.version < 1) return fail(Code::kDataCorrupt, "opset version {} of domain '{}' is impossible", o.version, shown(o.domain));
    if (plain_domain(o.domain).empty() && o.version > kNewestOpset)
      return fail(Code::kUnsupported, "opset {} is newer than {}, the newest known; export the model with an older one", o.version, kNewestOpset);
  }
  return {};
}

// Whether nodes pick single places from this axis of an input one by one: then it is a stack of different things (the layers of a cache,
// keys and values), and an exporter that gave it the name of another input's dim ("batch") did not mean that the two are equal.
bool Importer::is_stack(std::string_view input, int64_t axis, int64_t rank) const {
  std::string_view first;
  for (const NodeProto& node : model_.graph.nodes) {
    if (node.op_type != "Gather" || node.inputs.size() != 2 || node.inputs[0] != input) continue;
    int64_t at = 0;
    for (const AttributeProto& a : node.attributes)
      if (a.name == "axis") at = a.i;
    if ((at < 0 ? at + rank : at) != axis) continue;
    if (!first.empty() && node.inputs[1] != first) return true;
    first = node.inputs[1];
  }
  return false;
}

Result<Shape> Importer::input_shape(const ValueInfoProto& input, std::span<const DimProto> dims) {
  const auto given = options_.shapes.find(std::string(input.name));
  if (given != options_.shapes.end()) {
    if (input.type.has_shape && given->second.size() != dims.size())
      return invalid("input '{}' has rank {}, the shape given for it has {}", shown(input.name), dims.size(), given->second.size());
  } else if (!input.type.has_shape) {
    return invalid("input '{}' has no shape, not even a rank; give one (--shape)", shown(input.name));
  }
  Shape shape;
  const size_t rank = given != options_.shapes.end() ? given->second.size() : dims.size();
  for (size_t i = 0; i < rank; ++i) {
    if (given != options_.shapes.end() && given->second[i] != -1) {
      if (given->second[i] < 0) return invalid("input '{}': {} is no dim", shown(input.name), given->second[i]);
      if (i < dims.size() && dims[i].kind == DimProto::kValue && dims[i].value >= 0 && dims[i].value != given->second[i])
        return invalid("input '{}': axis {} is {} in the model, the shape given says {}", shown(input.name), i, dims[i].value, given->second[i]);
      shape.push_back(given->second[i]);
      continue;
    }
    const DimProto dim = i < dims.size() ? dims[i] : DimProto{};
    if (dim.kind == DimProto::kValue && dim.value >= 0) {
      shape.push_back(dim.value);
      continue;
    }
    if (dim.kind == DimProto::kValue && dim.value != -1) return invalid("input '{}': axis {} is {}", shown(input.name), i, dim.value);
    const bool named = dim.kind == DimProto::kName && !is_stack(input.name, static_cast<int64_t>(i), static_cast<int64_t>(rank));
    shape.push_back(Dim::symbol(symbol(named ? dim.name : "", fmt::format("{}_{}", input.name.substr(0, 60), i))));
  }
  if (is_static(shape)) {
    auto size = checked_size(to_dims(shape));
    if (!size) return std::move(size.error()).within(fmt::format("input '{}'", shown(input.name)));
  }
  return shape;
}

Status Importer::add_inputs(Scope& scope) {
  for (const auto& [name, dims] : options_.shapes) {
    const auto& inputs = model_.graph.inputs;
    if (std::any_of(inputs.begin(), inputs.end(), [&](const ValueInfoProto& v) { return v.name == name; })) continue;
    std::string known;
    for (const ValueInfoProto& v : inputs) known += (known.empty() ? "'" : ", '") + shown(v.name) + "'";
    return invalid("a shape is given for '{}', but the model has no such input; it has {}", name, known.empty() ? "none" : known);
  }
  for (const ValueInfoProto& input : model_.graph.inputs) {
    if (input.name.empty()) return invalid("an input of the graph has no name");
    // Older files list their initializers as inputs too.
    if (const auto it = scope.names.find(input.name); it != scope.names.end() && !it->second.value) continue;
    if (input.type.kind != TypeProto::kTensor) {
      static constexpr std::string_view kKinds[] = {"no type", "tensor", "sequence", "map", "sparse tensor", "optional"};
      return fail(Code::kUnsupported, "input '{}' is of type {}; only tensors are supported", shown(input.name), kKinds[input.type.kind]);
    }
    auto dtype = dtype_of(input.type.elem_type);
    if (!dtype) return std::move(dtype.error()).within(fmt::format("input '{}'", shown(input.name)));
    CARNOT_ASSIGN(Shape shape, input_shape(input, input.type.dims));
    CARNOT_RETURN_IF_ERROR(bind(scope, input.name, scope.graph->add_input(input.name, *dtype, std::move(shape))));
  }
  return {};
}

Status Importer::add_initializers(Scope& scope, const GraphProto& graph) {
  for (const TensorProto& t : graph.initializers)
    if (!scope.names.emplace(t.name, Binding{.tensor = &t}).second) return invalid("initializer '{}' is defined twice", shown(t.name));
  for (const SparseTensorProto& s : graph.sparse_initializers)
    if (!scope.names.emplace(s.values.name, Binding{.sparse = &s}).second) return invalid("initializer '{}' is defined twice", shown(s.values.name));
  return {};
}

Result<std::unique_ptr<ir::Graph>> Importer::run() {
  CARNOT_RETURN_IF_ERROR(check_model());
  auto graph = std::make_unique<ir::Graph>();
  Scope scope{.graph = graph.get(), .nodes = model_.graph.nodes, .opsets = &model_.opsets};
  CARNOT_RETURN_IF_ERROR(add_initializers(scope, model_.graph));
  CARNOT_RETURN_IF_ERROR(add_inputs(scope));
  CARNOT_RETURN_IF_ERROR(import_nodes(scope, model_.graph.nodes));
  CARNOT_ASSIGN(std::vector<ir::Value*> outputs, outputs_of(scope, model_.graph));
  if (outputs.empty()) return invalid("the graph has no outputs");
  std::vector<std::string> names;
  std::unordered_set<std::string_view> taken;
  for (const ValueInfoProto& output : model_.graph.outputs) {
    if (!taken.insert(output.name).second) return invalid("output '{}' is listed twice", shown(output.name));
    names.emplace_back(output.name);
  }
  graph->set_outputs(std::move(outputs), std::move(names));
  graph->drop_unused_constants();
  std::string producer(model_.producer_name);
  if (!model_.producer_version.empty()) producer += (producer.empty() ? "" : " ") + std::string(model_.producer_version);
  if (!producer.empty()) graph->metadata["producer"] = producer;
  for (const auto& [key, value] : model_.metadata) graph->metadata[std::string(key)] = std::string(value);
  return graph;
}

Outputs Importer::outputs_of(Scope& scope, const GraphProto& graph) {
  std::vector<ir::Value*> outputs;
  for (const ValueInfoProto& output : graph.outputs) {
    auto value = lookup(scope, output.name);
    if (!value) return std::move(value.error()).within("output of the graph");
    if (!*value) return invalid("output '{}' of the graph is an optional value that is absent", shown(output.name));
    outputs.push_back(*value);
  }
  return outputs;
}

// ---- nodes -------------------------------------------------------------------------------------------------------------------

Status Importer::import_nodes(Scope& scope, std::span<const NodeProto> nodes) {
  for (size_t i = 0; i < nodes.size(); ++i) CARNOT_RETURN_IF_ERROR(import_node(scope, nodes[i], i));
  return {};
}

Status Importer::import_node(Scope& scope, const NodeProto& node, size_t index) {
  const ir::Location where = location(scope, node, index);
  const auto here = [&](Error e) {
    // What comes out of the graph or a body names its node already.
    if (e.message.starts_with("node '")) return e;
    return std::move(e).within("node " + where.str());
  };
  if (++attempts_.nodes > kMaxNodes) return here(invalid("the model has more than {} nodes", kMaxNodes));
  if (node.attributes.size() > kMaxAttributes) return here(invalid("has more than {} attributes", kMaxAttributes));
  std::vector<ir::Value*> inputs;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i].empty()) {
      inputs.push_back(nullptr);
      continue;
    }
    auto value = lookup(scope, node.inputs[i]);
    if (!value) return here(std::move(value.error()).within(fmt::format("input {}", i)));
    inputs.push_back(*value);
  }
  while (!inputs.empty() && !inputs.back()) inputs.pop_back();
  size_t wanted = node.outputs.size();
  while (wanted > 0 && node.outputs[wanted - 1].empty()) --wanted;
  auto outputs = convert(scope, node, where, std::move(inputs), wanted);
  if (!outputs) return here(std::move(outputs.error()));
  if (outputs->size() < wanted) return here(invalid("has {} outputs, {} are named", outputs->size(), wanted));
  for (size_t i = 0; i < wanted; ++i)
    if (!node.outputs[i].empty())
      if (Status s = bind(scope, node.outputs[i], (*outputs)[i]); !s) return here(std::move(s.error()).within(fmt::format("output {}", i)));
  return {};
}

Outputs Importer::convert(Scope& scope, const NodeProto& node, ir::Location where, std::vector<ir::Value*> inputs, size_t outputs) {
  if (const auto f = functions_.find(std::tuple(plain_domain(node.domain), node.op_type, node.overload)); f != functions_.end())
    return call(scope, *f->second, node, where, inputs, outputs);

  CARNOT_ASSIGN(const int64_t version, opset(scope, node.domain));
  CARNOT_ASSIGN(const Target target, find_target(plain_domain(node.domain), node.op_type, version));
  ir::Builder builder(*scope.graph, true);
  builder.at(where);
  NodeContext context(*this, scope, node, inputs, outputs, version, builder);
  if (target.convert) return target.convert(context);

  CARNOT_ASSIGN(const Attrs attrs, context.attrs());
  ir::Builder::Options options{.outputs = std::max<size_t>(outputs, 1)};
  for (size_t i = 0; i < outputs; ++i) options.out_names.emplace_back(node.outputs[i]);
  auto made = builder.add(target.op->info->name, std::move(inputs), attrs, std::move(options));
  if (made)
    for (size_t i = 0; i < outputs; ++i) bound_.insert((*made)[i]);
  return made;
}

Outputs Importer::call(Scope& scope, const FunctionProto& f, const NodeProto& node, const ir::Location& where, const std::vector<ir::Value*>& inputs, size_t outputs) {
  if (std::find(calls_.begin(), calls_.end(), &f) != calls_.end()) return invalid("function '{}' calls itself", shown(f.name));
  if (calls_.size() >= kMaxGraphDepth) return invalid("functions are nested more than {} deep", kMaxGraphDepth);
  if (inputs.size() > f.inputs.size()) return invalid("function '{}' takes {} inputs, got {}", shown(f.name), f.inputs.size(), inputs.size());
  if (outputs > f.outputs.size()) return invalid("function '{}' has {} outputs, {} are named", shown(f.name), f.outputs.size(), outputs);
  std::map<std::string_view, const AttributeProto*> arguments;
  for (const AttributeProto& a : f.defaults) arguments[a.name] = &a;
  for (const AttributeProto& a : node.attributes) {
    const AttributeProto* given = &a;
    if (!a.ref.empty()) {
      // Handed on from the function we are in.
      const auto it = scope.arguments ? scope.arguments->find(a.ref) : decltype(scope.arguments->end()){};
      if (!scope.arguments || it == scope.arguments->end()) continue;
      given = it->second;
    }
    arguments[a.name] = given;
  }
  Scope inner{.graph = scope.graph, .nodes = f.nodes, .opsets = &f.opsets, .arguments = &arguments, .prefix = where.name + "/", .depth = scope.depth, .loops = scope.loops};
  for (size_t i = 0; i < f.inputs.size(); ++i)
    if (!inner.names.emplace(f.inputs[i], Binding{.value = i < inputs.size() ? inputs[i] : nullptr}).second)
      return invalid("function '{}': input '{}' is listed twice", shown(f.name), shown(f.inputs[i]));
  calls_.push_back(&f);
  CARNOT_RETURN_IF_ERROR(import_nodes(inner, f.nodes));
  calls_.pop_back();
  std::vector<ir::Value*> results;
  for (size_t i = 0; i < outputs; ++i) {
    auto value = lookup(inner, f.outputs[i]);
    if (!value) return std::move(value.error()).within(fmt::format("output of function '{}'", shown(f.name)));
    results.push_back(*value);
  }
  return results;
}

// ---- subgraphs ---------------------------------------------------------------------------------------------------------------

Result<Body> Importer::import_body(Scope& outer, const GraphProto& proto, std::span<const ops::ValueFacts> inputs, bool repeats) {
  if (repeats && outer.loops >= kMaxLoops) return invalid("loops are nested more than {} deep", kMaxLoops);
  if (outer.depth >= kMaxGraphDepth) return invalid("subgraphs are nested more than {} deep", kMaxGraphDepth);
  if (proto.inputs.size() != inputs.size()) return invalid("subgraph '{}' takes {} inputs, expected {}", shown(proto.name), proto.inputs.size(), inputs.size());
  Body body{.graph = std::make_unique<ir::Graph>(outer.graph)};
  Scope scope{.parent = &outer, .graph = body.graph.get(), .nodes = proto.nodes, .opsets = outer.opsets, .arguments = outer.arguments, .prefix = outer.prefix,
              .depth = outer.depth + 1, .loops = outer.loops + repeats};
  CARNOT_RETURN_IF_ERROR(add_initializers(scope, proto));
  for (size_t i = 0; i < inputs.size(); ++i) {
    ir::Value* value = body.graph->add_input(proto.inputs[i].name, inputs[i].dtype, inputs[i].shape);
    value->facts = inputs[i];
    CARNOT_RETURN_IF_ERROR(bind(scope, proto.inputs[i].name, value));
  }
  CARNOT_RETURN_IF_ERROR(import_nodes(scope, proto.nodes));
  CARNOT_ASSIGN(std::vector<ir::Value*> outputs, outputs_of(scope, proto));
  body.graph->set_outputs(std::move(outputs));
  body.graph->drop_unused_constants();
  body.captures = std::move(scope.captures);
  return body;
}

bool Importer::guess() {
  if (next_guess_ == attempts_.guesses.size()) attempts_.guesses.push_back(true);
  return attempts_.guesses[next_guess_++];
}

Outputs Importer::import_inline(Scope& outer, const GraphProto& proto) {
  if (outer.depth >= kMaxGraphDepth) return invalid("subgraphs are nested more than {} deep", kMaxGraphDepth);
  Scope scope{.parent = &outer, .graph = outer.graph, .nodes = proto.nodes, .opsets = outer.opsets, .arguments = outer.arguments, .prefix = outer.prefix,
              .depth = outer.depth + 1, .loops = outer.loops};
  CARNOT_RETURN_IF_ERROR(add_initializers(scope, proto));
  CARNOT_RETURN_IF_ERROR(import_nodes(scope, proto.nodes));
  return outputs_of(scope, proto);
}

}  // namespace carnot::onnx
