// SPDX-License-Identifier: Apache-2.0
#include "ir/builder.hpp"

#include <algorithm>

#include "ir/interpret.hpp"

namespace carnot::ir {
namespace {

// Shape arithmetic is small. Larger constants (tables, masks) are left to the folding pass, which knows what is worth storing.
constexpr int64_t kMaxFoldedElements = 1024;
constexpr int64_t kMaxFoldedWork = 1 << 16;

bool small_and_static(const Value* v, int64_t limit) {
  if (!is_static(v->shape())) return false;
  auto size = checked_size(to_dims(v->shape()));
  return size && *size <= limit && dtype_size(v->dtype()) > 0 && v->dtype() != DType::kString;
}

// The constant that inference found out about, if it did.
std::optional<Constant> known(const Value* v) {
  if (!v->facts.values || !is_static(*v->facts.values) || !small_and_static(v, kMaxFoldedElements)) return std::nullopt;
  const Dims values = to_dims(*v->facts.values);
  Constant c = Constant::allocate(v->dtype(), to_dims(v->shape()));
  if (static_cast<size_t>(c.size()) != values.size()) return std::nullopt;
  const bool filled = dispatch_dtype(v->dtype(), [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (size_t i = 0; i < values.size(); ++i) static_cast<T*>(c.mutable_data())[i] = static_cast<T>(values[i]);
  });
  return filled ? std::optional(std::move(c)) : std::nullopt;
}

}  // namespace

std::vector<Value*> Builder::fold(Node* node) {
  const ops::OpInfo& info = node->op.info();
  if (!info.pure || info.bodies > 0) return {};
  std::vector<Constant> results;
  for (const Value* out : node->outputs)
    if (auto c = known(out)) results.push_back(std::move(*c));
  if (results.size() != node->outputs.size()) {
    results.clear();
    std::vector<TensorView> inputs;
    for (const Value* v : node->inputs) {
      if (v && (!v->constant || v->constant->size() > kMaxFoldedWork || v->dtype() == DType::kString)) return {};
      inputs.push_back(v ? v->constant->view() : TensorView{});
    }
    for (const Value* out : node->outputs)
      if (!small_and_static(out, kMaxFoldedElements)) return {};
    auto computed = interpret(*node, inputs);
    if (!computed) return {};  // stays a node; the same error comes at run time, if it is ever run
    results = std::move(*computed);
  }
  std::vector<std::string> names;
  for (const Value* out : node->outputs) names.push_back(out->name);
  graph_->erase(node);
  std::vector<Value*> constants;
  for (size_t i = 0; i < results.size(); ++i) constants.push_back(graph_->add_constant(std::move(results[i]), names[i]));
  return constants;
}

Result<std::vector<Value*>> Builder::add(std::string_view op, std::vector<Value*> inputs, const Attrs& attrs, Options options) {
  const std::string who = where_.name.empty() && where_.type.empty() ? fmt::format("layer of operator '{}'", op) : "node " + where_.str();
  auto made = ops::make_op(op, attrs);
  if (!made) return std::move(made.error()).within(who);
  Graph::NodeOptions node_options{.where = where_, .outputs = options.outputs, .out_names = std::move(options.out_names), .bodies = std::move(options.bodies)};
  CARNOT_ASSIGN(Node * node, graph_->add(std::move(*made), std::move(inputs), std::move(node_options)));
  if (fold_)
    if (std::vector<Value*> constants = fold(node); !constants.empty()) return constants;
  return node->outputs;
}

Result<Value*> Builder::add1(std::string_view op, std::vector<Value*> inputs, const Attrs& attrs) {
  CARNOT_ASSIGN(std::vector<Value*> outputs, add(op, std::move(inputs), attrs, {}));
  return outputs[0];
}

Value* Builder::ints(const std::vector<int64_t>& values) {
  return constant(Constant::from({static_cast<int64_t>(values.size())}, values));
}

Value* Builder::scalar(DType dtype, double value) {
  Value* out = nullptr;
  dispatch_dtype(dtype, [&](auto tag) { out = constant(Constant::scalar(static_cast<typename decltype(tag)::type>(value))); });
  return out;
}

}  // namespace carnot::ir
