// SPDX-License-Identifier: Apache-2.0
#include "passes/fold_batch_norm.hpp"

#include <cmath>

#include "ops/batch_normalization.hpp"
#include "ops/pointwise.hpp"
#include "passes/support_constants.hpp"
#include "passes/support_rewrite.hpp"

namespace carnot::passes {
namespace {

bool fold(ir::Graph& g, ir::Node* node) {
  const auto* bn = node->as<ops::BatchNormalization>();
  if (!bn || bn->training_mode != 0 || node->inputs.size() != 5 || !is_float(node->in(0)->dtype())) return false;
  for (size_t i = 1; i < 5; ++i)
    if (!node->has(i) || !node->in(i)->constant) return false;
  for (size_t i = 1; i < node->outputs.size(); ++i)
    if (!node->outputs[i]->uses.empty() || g.is_output(node->outputs[i])) return false;
  std::vector<double> scale = doubles_of(*node->in(1)->constant), shift = doubles_of(*node->in(2)->constant);
  const std::vector<double> mean = doubles_of(*node->in(3)->constant), var = doubles_of(*node->in(4)->constant);
  for (size_t c = 0; c < scale.size(); ++c) {
    scale[c] /= std::sqrt(var[c] + bn->epsilon);
    shift[c] -= mean[c] * scale[c];
  }
  ir::Value* x = node->in(0);
  const DType dtype = x->dtype();
  // [C,1,1] next to channels-first data, [C] next to channels-last.
  Dims dims{static_cast<int64_t>(scale.size())};
  if (bn->layout != "nhwc" && x->rank() > 2) dims.insert(dims.end(), x->rank() - 2, 1);
  ir::Value* s = g.add_constant(from_doubles(dtype, dims, scale), "scale");
  ir::Value* t = g.add_constant(from_doubles(dtype, dims, shift), "shift");
  ir::Value* scaled = try_add(g, ops::Operator(ops::Mul{}), {x, s}, node->where, node);
  ir::Value* y = scaled ? try_add(g, ops::Operator(ops::Add{}), {scaled, t}, node->where, node) : nullptr;
  if (!y || !can_replace(node->out(), y)) {
    if (y) g.erase(y->producer);
    if (scaled) g.erase(scaled->producer);
    return false;
  }
  g.replace_uses(node->out(), y);
  const std::string name = node->out()->name;
  g.erase(node);
  g.rename(y, name);
  return true;
}

}  // namespace

Result<bool> FoldBatchNorm::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    for (ir::Node* node : g.node_list()) changed |= fold(g, node);
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(fold_batch_norm, FoldBatchNorm)

}  // namespace carnot::passes
