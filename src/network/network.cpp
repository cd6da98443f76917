// SPDX-License-Identifier: Apache-2.0
#include "impl.hpp"
#include "ir/text.hpp"

namespace carnot {

using network_detail::raise;
using network_detail::unwrap;

namespace {

ir::Value* as_value(void* handle) { return static_cast<ir::Value*>(handle); }

const ir::Value& checked(void* handle) {
  if (!handle) raise(invalid("an empty value was used"));
  return *as_value(handle);
}

Attrs to_attrs(const Attributes& attributes) {
  Attrs out;
  for (const auto& [name, attribute] : attributes)
    out.emplace_back(name, std::visit(
                               [](const auto& v) -> Attr {
                                 if constexpr (std::is_same_v<std::decay_t<decltype(v)>, carnot_dtype>) return static_cast<DType>(v);
                                 else return v;
                               },
                               attribute.storage()));
  return out;
}

DType checked_dtype(carnot_dtype dtype) {
  const auto out = static_cast<DType>(dtype);
  if (dtype_size(out) == 0 || out == DType::kString) raise(invalid("{} is no element type", static_cast<int>(dtype)));
  return out;
}

}  // namespace

std::string Value::name() const { return checked(handle_).name; }
carnot_dtype Value::dtype() const { return static_cast<carnot_dtype>(checked(handle_).dtype()); }
size_t Value::rank() const { return checked(handle_).rank(); }
std::vector<std::string> Value::shape() const {
  std::vector<std::string> out;
  for (const Dim& d : checked(handle_).shape()) out.push_back(d.str());
  return out;
}

Network::Network(const std::string& name) : impl_(std::make_unique<Impl>()) {
  impl_->graph = std::make_unique<ir::Graph>();
  impl_->graph->name = name;
}
Network::Network(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Network::~Network() = default;
Network::Network(Network&&) noexcept = default;
Network& Network::operator=(Network&&) noexcept = default;

namespace {
ir::Graph& live(const std::unique_ptr<ir::Graph>& graph) {
  if (!graph) raise(invalid("this body has become part of a network and cannot be changed any more"));
  return *graph;
}
}  // namespace

Value Network::input(const std::string& name, carnot_dtype dtype, const std::vector<Extent>& shape) {
  ir::Graph& g = live(impl_->graph);
  if (name.empty() || g.find(name)) raise(invalid("input '{}': the name is empty or taken", name));
  Shape dims;
  for (const Extent& e : shape) {
    if (!e.is_symbol() && e.size() < 0) raise(invalid("input '{}': size {} is negative; a size that may vary gets a name", name, e.size()));
    if (!e.is_symbol()) {
      dims.push_back(e.size());
      continue;
    }
    auto dim = Dim::parse(e.name());
    if (!dim || e.name()[0] == '$') raise(invalid("input '{}': '{}' is no name for a size (letters, digits, _ . : /)", name, e.name()));
    dims.push_back(std::move(*dim));
  }
  return Value(g.add_input(name, checked_dtype(dtype), std::move(dims)));
}

Value Network::constant(const TensorRef& data, const std::string& name) {
  ir::Graph& g = live(impl_->graph);
  const DType dtype = checked_dtype(data.dtype());
  unwrap(checked_size(data.dims()));
  if (!data.raw() && data.size() > 0) raise(invalid("constant '{}' has no data", name));
  return Value(g.add_constant(Constant::copy_of(dtype, data.dims(), data.raw()), name.empty() ? "c" : name));
}

Value Network::ints(const std::vector<int64_t>& values) { return Value(ir::Builder(live(impl_->graph)).ints(values)); }

Value Network::scalar(double value, carnot_dtype dtype) { return Value(ir::Builder(live(impl_->graph)).scalar(checked_dtype(dtype), value)); }

void Network::output(const Value& value, const std::string& name) {
  ir::Graph& g = live(impl_->graph);
  const ir::Value& v = checked(value.handle_);
  if (v.graph != &g) raise(invalid("output '{}' belongs to another network", name.empty() ? v.name : name));
  const std::string label = name.empty() ? v.name : name;
  std::vector<ir::Value*> values;
  std::vector<std::string> names;
  for (const auto& [other, handle] : impl_->outputs) {
    if (other == label) raise(invalid("there are two outputs '{}'", label));
    names.push_back(other);
    values.push_back(handle);
  }
  names.push_back(label);
  values.push_back(as_value(value.handle_));
  impl_->outputs.emplace_back(label, as_value(value.handle_));
  g.set_outputs(std::move(values), std::move(names));
}

void Network::metadata(const std::string& key, const std::string& value) { live(impl_->graph).metadata[key] = value; }

std::vector<Value> Network::add_many(const std::string& op, const std::vector<Value>& inputs, const Attributes& attributes, const Options& options) {
  ir::Graph& g = live(impl_->graph);
  const ir::Location where{options.name.empty() ? op + "_" + std::to_string(impl_->layers) : options.name, op};
  ++impl_->layers;
  std::vector<ir::Value*> operands;
  for (size_t i = 0; i < inputs.size(); ++i) {
    ir::Value* v = as_value(inputs[i].handle_);
    if (v && v->graph != &g) raise(invalid("node {}: input {} ('{}') belongs to another network or body; hand it over as an operand", where.str(), i, v->name));
    operands.push_back(v);
  }
  ir::Builder::Options made{.outputs = options.outputs};
  for (Network* body : options.bodies) {
    if (!body || !body->impl_->graph || body->impl_->graph->parent() != &g) raise(invalid("node {}: a body must come from this network's body()", where.str()));
    made.bodies.push_back(std::move(body->impl_->graph));
  }
  const ops::OpEntry* entry = ops::find_op(op);
  if (entry && static_cast<int>(made.bodies.size()) != entry->info->bodies)
    raise(invalid("node {}: takes {} bodies, got {}", where.str(), entry->info->bodies, made.bodies.size()));
  ir::Builder builder(g);
  builder.at(where);
  std::vector<Value> out;
  for (ir::Value* v : unwrap(builder.add(op, std::move(operands), to_attrs(attributes), std::move(made)))) out.push_back(Value(v));
  return out;
}

Value Network::add(const std::string& op, const std::vector<Value>& inputs, const Attributes& attributes, const std::string& name) {
  return add_many(op, inputs, attributes, {.name = name})[0];
}

Network Network::body(const std::string& name) {
  auto impl = std::make_unique<Impl>();
  impl->graph = std::make_unique<ir::Graph>(&live(impl_->graph));
  impl->graph->name = name;
  return Network(std::move(impl));
}

std::string Network::text() const { return ir::print(live(impl_->graph)); }

std::vector<std::string> Network::operators() {
  std::vector<std::string> out;
  for (const ops::OpEntry* entry : ops::all_ops()) out.emplace_back(entry->info->name);
  return out;
}

std::vector<std::byte> Network::build(const BuildSettings& settings) const {
  const ir::Graph& g = live(impl_->graph);
  if (g.parent()) raise(invalid("a body is built with its network"));
  if (g.outputs().empty()) raise(invalid("the network has no outputs; name them with output()"));
  return unwrap(compiler::compile(g.clone(nullptr), network_detail::to_options(settings)));
}

void Network::build_to_file(const std::string& path, const BuildSettings& settings) const { write_engine(path, build(settings)); }

}  // namespace carnot
