// SPDX-License-Identifier: Apache-2.0
#include "passes/fold_constants.hpp"

#include <algorithm>

#include "ir/interpret.hpp"
#include "passes/support_constants.hpp"
#include "passes/support_views.hpp"

namespace carnot::passes {
namespace {

constexpr int64_t kSmallBytes = 1 << 20;

// The number of bytes of all results; none if a shape is not known.
std::optional<int64_t> result_bytes(const ir::Node& node) {
  int64_t sum = 0;
  for (const ir::Value* v : node.outputs) {
    if (!is_static(v->shape())) return std::nullopt;
    auto size = checked_size(to_dims(v->shape()));
    if (!size || *size > (int64_t{1} << 40)) return std::nullopt;
    sum += *size * static_cast<int64_t>(std::max<size_t>(1, dtype_size(v->dtype())));
  }
  return sum;
}

// Text and other elements that own memory cannot stand in a constant.
bool storable(DType dtype) { return dtype != DType::kInvalid && dtype != DType::kString; }

bool foldable(const ir::Node& node, const PassContext& context) {
  if (!node.op.info().pure || !node.bodies.empty()) return false;
  int64_t operand_bytes = 0;
  for (const ir::Value* v : node.inputs) {
    if (!v) continue;
    if (!v->constant) return false;
    operand_bytes += static_cast<int64_t>(v->constant->bytes());
  }
  for (const ir::Value* v : node.outputs)
    if (!storable(v->dtype())) return false;
  const auto bytes = result_bytes(node);
  // Shapes that only the data tells (NonZero of a constant) are bounded by their operands.
  if (!bytes) return operand_bytes <= kSmallBytes;
  return *bytes <= kSmallBytes || (*bytes <= context.max_folded_bytes && *bytes <= 4 * operand_bytes);
}

std::optional<Constant> known_values(const ir::Value& v) {
  const auto& facts = v.facts;
  if (!facts.values || !is_static(facts.shape) || (!is_integer(facts.dtype) && facts.dtype != DType::kBool)) return std::nullopt;
  const auto& values = *facts.values;
  if (!std::all_of(values.begin(), values.end(), [](const Dim& d) { return d.is_constant(); })) return std::nullopt;
  if (size_of(to_dims(facts.shape)) != static_cast<int64_t>(values.size())) return std::nullopt;
  Constant c = Constant::allocate(facts.dtype, to_dims(facts.shape));
  dispatch_dtype(facts.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (size_t i = 0; i < values.size(); ++i) static_cast<T*>(c.mutable_data())[i] = static_cast<T>(values[i].value());
  });
  return c;
}

bool replace(ir::Graph& g, ir::Value* v, Constant c) {
  if (v->uses.empty() && !g.is_output(v)) return false;
  g.replace_uses(v, g.add_constant(std::move(c), v->name));
  return true;
}

}  // namespace

Result<bool> FoldConstants::run(ir::Graph& graph, PassContext& context) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    for (ir::Node* node : g.node_list()) {
      bool all_known = node->op.info().pure && node->bodies.empty();
      for (ir::Value* v : node->outputs) {
        if (v->uses.empty() && !g.is_output(v)) continue;
        auto known = all_known ? known_values(*v) : std::nullopt;
        if (known)
          changed |= replace(g, v, std::move(*known));
        else
          all_known = false;
      }
      if (all_known || !foldable(*node, context)) continue;
      // The one operator that is often folded over whole weights; the reference takes seconds for a large embedding.
      if (auto perm = perm_of(node)) {
        changed |= replace(g, node->out(), transposed(*node->in(0)->constant, *perm));
        continue;
      }
      std::vector<TensorView> operands;
      for (const ir::Value* v : node->inputs) operands.push_back(v ? v->constant->view() : TensorView{});
      auto results = ir::interpret(*node, operands);
      if (!results) continue;
      for (size_t i = 0; i < results->size(); ++i) changed |= replace(g, node->outputs[i], std::move((*results)[i]));
    }
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(fold_constants, FoldConstants)

}  // namespace carnot::passes
