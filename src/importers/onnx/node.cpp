// SPDX-License-Identifier: Apache-2.0
#include "importers/onnx/node.hpp"

#include <algorithm>

#include "importers/onnx/importer.hpp"

namespace carnot::onnx {
namespace {

std::string_view kind(int32_t type) {
  static constexpr std::string_view kNames[] = {"nothing", "a float", "an int", "a string", "a tensor", "a graph", "floats", "ints", "strings",
                                                "tensors", "graphs", "a sparse tensor", "sparse tensors", "a type", "types"};
  return type >= 0 && static_cast<size_t>(type) < std::size(kNames) ? kNames[type] : "an unknown type";
}

Error wrong_type(const AttributeProto& a, std::string_view expected) { return invalid("attribute '{}' holds {}, expected {}", a.name.substr(0, 100), kind(a.type), expected); }

}  // namespace

Status NodeContext::need(size_t count, size_t most) const {
  for (size_t i = 0; i < count; ++i)
    if (!has(i)) return invalid("input {} is missing", i);
  if (inputs_.size() > most) return invalid("takes at most {} inputs, got {}", most, inputs_.size());
  return {};
}

Result<std::vector<int64_t>> NodeContext::known_ints(size_t i, std::string_view what) const {
  CARNOT_RETURN_IF_ERROR(need(i + 1));
  const ir::Value* v = inputs_[i];
  if (v->constant) return to_int64s(v->constant->view());
  if (v->facts.values && is_static(*v->facts.values)) return to_dims(*v->facts.values);
  return fail(Code::kUnsupported, "input {} ('{}'): the {} must be known when the model is built", i, v->name, what);
}

const AttributeProto* NodeContext::attr(std::string_view name) const {
  for (const AttributeProto& a : proto_.attributes) {
    if (a.name != name) continue;
    if (a.ref.empty()) return &a;
    if (!scope_.arguments) return nullptr;
    const auto it = scope_.arguments->find(a.ref);
    return it == scope_.arguments->end() ? nullptr : it->second;
  }
  return nullptr;
}

Result<int64_t> NodeContext::int_attr(std::string_view name, int64_t otherwise) const {
  const AttributeProto* a = attr(name);
  if (!a) return otherwise;
  if (a->type != AttributeProto::kInt) return wrong_type(*a, "an int");
  return a->i;
}

Result<double> NodeContext::float_attr(std::string_view name, double otherwise) const {
  const AttributeProto* a = attr(name);
  if (!a) return otherwise;
  if (a->type != AttributeProto::kFloat) return wrong_type(*a, "a float");
  return double{a->f};
}

Result<std::string> NodeContext::string_attr(std::string_view name, std::string_view otherwise) const {
  const AttributeProto* a = attr(name);
  if (!a) return std::string(otherwise);
  if (a->type != AttributeProto::kString) return wrong_type(*a, "a string");
  return std::string(a->s);
}

Result<std::vector<int64_t>> NodeContext::ints_attr(std::string_view name, std::vector<int64_t> otherwise) const {
  const AttributeProto* a = attr(name);
  if (!a) return otherwise;
  if (a->type != AttributeProto::kInts) return wrong_type(*a, "ints");
  return a->ints;
}

Result<Constant> NodeContext::tensor_attr(std::string_view name) const {
  const AttributeProto* a = attr(name);
  if (!a) return invalid("attribute '{}' is missing", name);
  if (a->type != AttributeProto::kTensor || !a->t) return wrong_type(*a, "a tensor");
  return importer_.tensors().constant(*a->t);
}

Result<Constant> NodeContext::sparse_attr(std::string_view name) const {
  const AttributeProto* a = attr(name);
  if (!a) return invalid("attribute '{}' is missing", name);
  if (a->type != AttributeProto::kSparse || !a->sparse) return wrong_type(*a, "a sparse tensor");
  return importer_.tensors().dense(*a->sparse);
}

Result<const GraphProto*> NodeContext::graph_attr(std::string_view name) const {
  const AttributeProto* a = attr(name);
  if (!a) return invalid("attribute '{}' is missing", name);
  if (a->type != AttributeProto::kGraph || !a->g) return wrong_type(*a, "a graph");
  return a->g.get();
}

Result<Attrs> NodeContext::attrs(std::initializer_list<std::string_view> except) const {
  Attrs out;
  for (const AttributeProto& named : proto_.attributes) {
    if (std::find(except.begin(), except.end(), named.name) != except.end()) continue;
    const AttributeProto* a = attr(named.name);
    if (!a) continue;
    if (std::any_of(out.begin(), out.end(), [&](const auto& pair) { return pair.first == named.name; })) return invalid("attribute '{}' is given twice", named.name.substr(0, 100));
    std::string name(named.name.substr(0, 100));
    switch (a->type) {
      case AttributeProto::kFloat: out.emplace_back(std::move(name), double{a->f}); break;
      case AttributeProto::kInt: out.emplace_back(std::move(name), a->i); break;
      case AttributeProto::kString: out.emplace_back(std::move(name), std::string(a->s)); break;
      case AttributeProto::kFloats: out.emplace_back(std::move(name), std::vector<double>(a->floats.begin(), a->floats.end())); break;
      case AttributeProto::kInts: out.emplace_back(std::move(name), a->ints); break;
      case AttributeProto::kStrings: out.emplace_back(std::move(name), std::vector<std::string>(a->strings.begin(), a->strings.end())); break;
      default: return invalid("attribute '{}' holds {}, which this operator does not take", name, kind(a->type));
    }
  }
  return out;
}

Outputs NodeContext::emit(std::string_view op, std::vector<ir::Value*> inputs, const Attrs& attrs, size_t outputs) {
  return b_.add(op, std::move(inputs), attrs, {.outputs = outputs});
}

Result<Body> NodeContext::body(std::string_view attr, std::span<const ops::ValueFacts> inputs) {
  CARNOT_ASSIGN(const GraphProto* graph, graph_attr(attr));
  return importer_.import_body(scope_, *graph, inputs, type() != "If");
}

Outputs NodeContext::inline_graph(std::string_view attr) {
  CARNOT_ASSIGN(const GraphProto* graph, graph_attr(attr));
  if (!graph->inputs.empty()) return invalid("subgraph '{}' must have no inputs", attr);
  return importer_.import_inline(scope_, *graph);
}

bool NodeContext::guess() { return importer_.guess(); }

std::vector<ir::Value*> NodeContext::merge_captures(std::span<Body> bodies) {
  std::vector<ir::Value*> outer;
  std::unordered_set<const ir::Value*> seen;
  for (const Body& body : bodies)
    for (const Body::Capture& c : body.captures)
      if (seen.insert(c.outer).second) outer.push_back(c.outer);
  for (Body& body : bodies) {
    std::unordered_map<const ir::Value*, ir::Value*> inner;
    for (const Body::Capture& c : body.captures) inner[c.outer] = c.inner;
    auto& inputs = body.graph->mutable_inputs();
    const size_t own = inputs.size() - body.captures.size();
    std::vector<ir::Value*> ordered(inputs.begin(), inputs.begin() + static_cast<std::ptrdiff_t>(own));
    for (ir::Value* v : outer) {
      ir::Value*& mine = inner[v];
      if (!mine) {
        mine = body.graph->add_input(v->name, v->dtype(), v->shape());
        mine->facts = v->facts;
      }
      ordered.push_back(mine);
    }
    inputs = std::move(ordered);
  }
  return outer;
}

}  // namespace carnot::onnx
