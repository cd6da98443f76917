// SPDX-License-Identifier: Apache-2.0
#include "passes/resolve_shapes.hpp"

#include <algorithm>
#include <limits>

#include "ops/pointwise.hpp"
#include "passes/support_rewrite.hpp"
#include "passes/support_views.hpp"

namespace carnot::passes {
namespace {

bool resolve_reshape(ir::Graph& g, ir::Node* node) {
  if (!is_reshape(node)) return false;
  // Plain already: a reshape whose operand is constant.
  if (node->op.name() == "reshape" && node->in(1)->constant) return false;
  ir::Value* y = node->out();
  ir::Value* made = add_reshape(g, node->in(0), y->shape(), node->where, node);
  if (!made || made == node->in(0)) return false;
  made->facts = y->facts;
  g.replace_uses(y, made);
  const std::string name = y->name;
  erase_dead(g, node);
  g.rename(made, name);
  return true;
}

// What x * y, x + y ... gives for these operand shapes; the caller compares.
bool broadcasts_to(const ir::Node& user, size_t index, const Shape& instead) {
  Shape all;
  for (size_t i = 0; i < user.inputs.size(); ++i) {
    if (!user.has(i)) continue;
    auto merged = ops::broadcast(all, i == index ? instead : user.in(i)->shape());
    if (!merged) return false;
    all = std::move(*merged);
  }
  return all == user.out()->shape();
}

bool drop_expand(ir::Graph& g, ir::Node* node) {
  if (node->op.name() != "expand" || g.is_output(node->out()) || node->out()->uses.empty()) return false;
  ir::Value* x = node->in(0);
  for (const ir::Use& use : node->out()->uses) {
    const bool plain = use.node->op.info().pointwise && use.node->op.name() != "clip" && use.node->inputs.size() > 1;
    if (!plain || !broadcasts_to(*use.node, use.index, x->shape())) return false;
  }
  g.replace_uses(node->out(), x);
  return true;
}

bool resolve_slice(ir::Graph& g, ir::Node* node) {
  if (node->op.name() != "slice" || node->in(2)->constant || !node->in(2)->facts.values) return false;
  const std::vector<Dim> ends = *node->in(2)->facts.values;
  const Shape& x = node->in(0)->shape();
  std::vector<int64_t> axes;
  if (node->has(3)) {
    auto given = ints_of(node->in(3));
    if (!given) return false;
    axes = *given;
  } else {
    for (size_t i = 0; i < ends.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  }
  if (node->has(4)) {
    const auto steps = ints_of(node->in(4));
    if (!steps || std::any_of(steps->begin(), steps->end(), [](int64_t s) { return s < 0; })) return false;
  }
  std::vector<int64_t> plain;
  for (size_t i = 0; i < ends.size(); ++i) {
    auto axis = normalize_axis(axes[i], x.size());
    if (!axis) return false;
    if (ends[i].is_constant())
      plain.push_back(ends[i].value());
    else if (auto low = (ends[i] - x[static_cast<size_t>(*axis)]).lower_bound(); low && *low >= 0)
      plain.push_back(std::numeric_limits<int64_t>::max());
    else
      return false;
  }
  g.set_input(node, 2, g.add_constant(Constant::from<int64_t>({static_cast<int64_t>(plain.size())}, plain), "ends"));
  // Both position operands have one type.
  if (node->in(1)->dtype() != DType::kI64) {
    const auto starts = ints_of(node->in(1));
    if (!starts) return true;
    g.set_input(node, 1, g.add_constant(Constant::from<int64_t>({static_cast<int64_t>(starts->size())}, *starts), "starts"));
  }
  return true;
}

bool resolve_resize(ir::Graph& g, ir::Node* node) {
  // x, roi, scales, sizes
  if (node->op.name() != "resize" || !node->has(3) || node->in(3)->constant || !node->in(3)->facts.values) return false;
  const Shape &x = node->in(0)->shape(), &y = node->out()->shape();
  if (node->in(3)->facts.values->size() != x.size()) return false;
  std::vector<float> scales;
  for (size_t i = 0; i < x.size(); ++i) {
    const auto factor = x[i] == y[i] ? std::optional<Dim>(1) : Dim::exact_div(y[i], x[i]);
    if (!factor || !factor->is_constant() || factor->value() <= 0) return false;
    scales.push_back(static_cast<float>(factor->value()));
  }
  const int64_t n = static_cast<int64_t>(scales.size());
  ir::Value* operand = g.add_constant(Constant::from<float>({n}, scales), "scales");
  std::vector<ir::Value*> inputs{node->in(0), node->in(1), operand};
  ir::Value* made = try_add(g, node->op, inputs, node->where, node);
  if (!made) return false;
  if (!can_replace(node->out(), made)) {
    g.erase(made->producer);
    return false;
  }
  g.replace_uses(node->out(), made);
  return true;
}

}  // namespace

Result<bool> ResolveShapes::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    for (auto it = g.nodes().begin(); it != g.nodes().end();) {
      ir::Node* node = it->get();
      ++it;
      changed |= resolve_reshape(g, node) || drop_expand(g, node) || resolve_slice(g, node) || resolve_resize(g, node);
    }
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(resolve_shapes, ResolveShapes)

}  // namespace carnot::passes
