// SPDX-License-Identifier: Apache-2.0
#include "passes/lower_integer_products.hpp"

#include <algorithm>
#include <cmath>

#include "ops/cast.hpp"
#include "ops/conv.hpp"
#include "ops/conv_integer.hpp"
#include "ops/matmul.hpp"
#include "ops/matmul_integer.hpp"
#include "ops/pointwise.hpp"
#include "passes/support_constants.hpp"
#include "passes/support_rewrite.hpp"

namespace carnot::passes {
namespace {

bool one_number(const ir::Value* v) { return v->rank() == 0 || (v->rank() == 1 && v->shape()[0].is(1)); }

// What one factor can be at most, 255 for 8-bit numbers less a zero point, times the largest sum of the other along a row
// (column, with by_column) of weights that are known, else 255 for each term.
double largest_sum(const ir::Node* node, const Dim& terms, bool by_column) {
  const auto& w = node->in(1)->constant;
  const bool zero_known = !node->has(3) || node->in(3)->constant;
  if (!terms.is_constant()) return HUGE_VAL;
  const auto count = static_cast<double>(terms.value());
  if (!w || !zero_known || w->size() == 0 || (by_column && w->dims.size() != 2)) return count * 255 * 255;
  const std::vector<double> values = doubles_of(*w), zeros = node->has(3) ? doubles_of(*node->in(3)->constant) : std::vector<double>{0};
  const auto rows = static_cast<size_t>(by_column ? w->dims[1] : w->dims[0]), each = values.size() / rows;
  if (zeros.size() != 1 && zeros.size() != rows) return HUGE_VAL;
  double most = 0;
  for (size_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (size_t k = 0; k < each; ++k) sum += std::abs(values[by_column ? k * rows + r : r * each + k] - zeros[zeros.size() == 1 ? 0 : r]);
    most = std::max(most, sum);
  }
  return most * 255;
}

bool exact(const ir::Node* node, const Dim& terms, bool by_column) {
  if (largest_sum(node, terms, by_column) <= double{1 << 24}) return true;
  const ir::Value* product = node->out(0);
  const auto& results = product->graph->outputs();
  if (product->uses.empty() || std::find(results.begin(), results.end(), product) != results.end()) return false;
  return std::all_of(product->uses.begin(), product->uses.end(), [](const ir::Use& use) {
    const auto* cast = use.node->as<ops::Cast>();
    return cast && cast->to == DType::kF32;
  });
}

// value as f32 less its zero point; `place` is the axis from the end that a vector of zero points lies along. Null where it cannot be.
ir::Value* centred(ir::Graph& graph, ir::Node* node, size_t value, size_t zero, std::optional<size_t> place) {
  auto add = [&](auto op, std::vector<ir::Value*> inputs) { return try_add(graph, ops::Operator(op), std::move(inputs), node->where, node); };
  const bool has_zero = node->has(zero) && scalar_of(node->in(zero)) != 0.0;
  if (has_zero && !one_number(node->in(zero)) && (!place || !node->in(zero)->constant)) return nullptr;
  ir::Value* x = add(ops::Cast{DType::kF32}, {node->in(value)});
  if (!x || !has_zero) return x;
  if (const auto& constant = node->in(zero)->constant) {
    Dims dims(one_number(node->in(zero)) ? 0 : *place + 1, 1);
    if (!dims.empty()) dims[0] = constant->size();
    return add(ops::Sub{}, {x, graph.add_constant(from_doubles(DType::kF32, dims, doubles_of(*constant)), "zero_point")});
  }
  ir::Value* z = add(ops::Cast{DType::kF32}, {node->in(zero)});
  return z ? add(ops::Sub{}, {x, z}) : nullptr;
}

ir::Value* lower(ir::Graph& graph, ir::Node* node) {
  auto finish = [&](auto op, std::optional<size_t> place) -> ir::Value* {
    ir::Value *a = centred(graph, node, 0, 2, std::nullopt), *b = a ? centred(graph, node, 1, 3, place) : nullptr;
    ir::Value* y = b ? try_add(graph, ops::Operator(std::move(op)), {a, b}, node->where, node) : nullptr;
    return y ? try_add(graph, ops::Operator(ops::Cast{DType::kI32}), {y}, node->where, node) : nullptr;
  };
  if (node->as<ops::MatMulInteger>()) {
    const Shape& b = node->in(1)->shape();
    if (b.size() < 2 || !exact(node, b[b.size() - 2], true)) return nullptr;
    return finish(ops::MatMul{}, 0);
  }
  if (const auto* c = node->as<ops::ConvInteger>()) {
    if (c->auto_pad != "NOTSET" && c->auto_pad != "VALID") return nullptr;
    const Shape& w = node->in(1)->shape();
    Dim terms(1);
    for (size_t i = 1; i < w.size(); ++i) terms = terms * w[i];
    if (w.size() < 3 || !exact(node, terms, false)) return nullptr;
    ops::Conv conv;
    conv.auto_pad = c->auto_pad;
    conv.kernel_shape = c->kernel_shape;
    conv.strides = c->strides;
    conv.pads = c->pads;
    conv.dilations = c->dilations;
    conv.group = c->group;
    return finish(std::move(conv), w.size() - 1);
  }
  return nullptr;
}

}  // namespace

Result<bool> LowerIntegerProducts::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    std::vector<ir::Node*> nodes;
    for (const auto& owned : g.nodes()) nodes.push_back(owned.get());
    for (ir::Node* node : nodes) {
      ir::Value* value = lower(g, node);
      if (!value) continue;
      g.replace_uses(node->out(0), value);
      erase_dead(g, node);
      changed = true;
    }
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(lower_integer_products, LowerIntegerProducts)

}  // namespace carnot::passes
