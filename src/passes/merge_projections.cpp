// SPDX-License-Identifier: Apache-2.0
#include "passes/merge_projections.hpp"

#include <cstring>

#include "ops/gemm.hpp"
#include "ops/matmul.hpp"
#include "ops/pointwise.hpp"
#include "ops/sdpa.hpp"
#include "passes/support_constants.hpp"
#include "passes/support_rewrite.hpp"
#include "passes/support_views.hpp"

namespace carnot::passes {
namespace {

// x @ weights + bias, and the node that gives it.
struct Projection {
  ir::Value* x = nullptr;
  Constant weights;              // [k, n]
  const Constant* bias = nullptr;  // [n]
  int64_t n = 0;
};

const Constant* row_of(const ir::Value* v, int64_t n) { return v && v->constant && v->constant->size() == n && v->shape().back().is(n) ? &*v->constant : nullptr; }

std::optional<Projection> read(ir::Value* v) {
  while (v->producer && single_use(v) && is_reshape(v->producer)) v = v->producer->in(0);
  if (!v->producer || !single_use(v)) return std::nullopt;
  Projection p;
  ir::Node* node = v->producer;
  const auto take = [&](ir::Node* product, bool flipped) {
    ir::Value* w = product->in(1);
    if (!w->constant || w->rank() != 2) return false;
    p.x = product->in(0);
    p.n = w->constant->dims[flipped ? 0 : 1];
    p.weights = flipped ? passes::transposed(*w->constant, {1, 0}) : *w->constant;
    return true;
  };
  if (node->op.name() == "add")
    for (size_t i : {0, 1}) {
      ir::Value* product = node->in(1 - i);
      if (!product->producer || product->producer->op.name() != "matmul" || !single_use(product) || !same_shape(product, v)) continue;
      if (!take(product->producer, false) || !(p.bias = row_of(node->in(i), p.n))) return std::nullopt;
      return p;
    }
  if (node->op.name() == "matmul") return take(node, false) ? std::optional(p) : std::nullopt;
  const auto* gemm = node->as<ops::Gemm>();
  if (!gemm || gemm->trans_a || gemm->alpha != 1 || gemm->beta != 1 || !take(node, gemm->trans_b)) return std::nullopt;
  if (node->has(2) && !(p.bias = row_of(node->in(2), p.n))) return std::nullopt;
  return p;
}

// Columns of all, side by side.
Constant side_by_side(const std::vector<const Constant*>& parts, int64_t rows, const std::vector<int64_t>& columns, DType dtype) {
  int64_t total = 0;
  for (int64_t n : columns) total += n;
  Constant out = Constant::allocate(dtype, rows > 0 ? Dims{rows, total} : Dims{total});
  const size_t element = dtype_size(dtype);
  auto* to = static_cast<std::byte*>(out.mutable_data());
  for (int64_t r = 0; r < std::max<int64_t>(rows, 1); ++r)
    for (size_t i = 0; i < parts.size(); ++i) {
      const size_t bytes = static_cast<size_t>(columns[i]) * element;
      if (parts[i]) std::memcpy(to, static_cast<const std::byte*>(parts[i]->data) + static_cast<size_t>(r) * bytes, bytes);
      else std::memset(to, 0, bytes);
      to += bytes;
    }
  return out;
}

bool merge(ir::Graph& g, ir::Node* node) {
  const ops::Sdpa from = *node->as<ops::Sdpa>();
  if (from.q_layout != "bshd" || from.k_layout != "bshd" || from.v_layout != "bshd" || from.q_first || from.k_first || from.v_first) return false;
  const int64_t heads[] = {from.heads, from.kv_heads, from.kv_heads};
  Projection parts[3];
  for (size_t i = 0; i < 3; ++i) {
    if (i > 0 && node->in(i) == node->in(0)) return false;
    const Shape& s = node->in(i)->shape();
    const Shape& first = node->in(0)->shape();
    auto part = single_use(node->in(i)) ? read(node->in(i)) : std::nullopt;
    if (!part || !(s[0] == first[0]) || !(s[1] == first[1]) || !(s[3] == first[3]) || !s[3].is_constant() || !s[2].is(heads[i]) || part->n != heads[i] * s[3].value()) return false;
    if (i > 0 && (part->x != parts[0].x || part->weights.dtype != parts[0].weights.dtype || part->weights.dims[0] != parts[0].weights.dims[0])) return false;
    parts[i] = std::move(*part);
  }
  const DType dtype = parts[0].weights.dtype;
  std::vector<const Constant*> weights, biases;
  std::vector<int64_t> columns;
  bool biased = false;
  for (const Projection& p : parts) {
    if (p.bias && p.bias->dtype != dtype) return false;
    weights.push_back(&p.weights);
    biases.push_back(p.bias);
    columns.push_back(p.n);
    biased = biased || p.bias;
  }
  const ir::Location where = join({node->in(0)->producer, node->in(1)->producer, node->in(2)->producer});
  const Shape& q = node->in(0)->shape();
  ir::Value* w = g.add_constant(side_by_side(weights, parts[0].weights.dims[0], columns, dtype), "projections");
  ir::Value* t = try_add(g, ops::Operator(ops::MatMul{}), {parts[0].x, w}, where, node);
  if (t && biased) t = try_add(g, ops::Operator(ops::Add{}), {t, g.add_constant(side_by_side(biases, 0, columns, dtype), "biases")}, where, node);
  if (t) t = add_reshape(g, t, {q[0], q[1], heads[0] + heads[1] + heads[2], q[3]}, where, node);
  if (!t) return false;
  ops::Sdpa op = from;
  op.k_first = heads[0];
  op.v_first = heads[0] + heads[1];
  std::vector<ir::Value*> inputs{t, t, t};
  if (node->has(3)) inputs.push_back(node->in(3));
  ir::Value* y = try_add(g, ops::Operator(op), inputs, node->where, node);
  if (!y || !can_replace(node->out(), y)) return false;
  y->facts = node->out()->facts;
  const std::string name = node->out()->name;
  g.replace_uses(node->out(), y);
  erase_dead(g, node);
  g.rename(y, name);
  return true;
}

}  // namespace

Result<bool> MergeProjections::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    for (ir::Node* node : g.node_list())
      if (node->op.name() == "sdpa") changed |= merge(g, node);
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(merge_projections, MergeProjections)

}  // namespace carnot::passes
