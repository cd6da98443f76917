// SPDX-License-Identifier: Apache-2.0
#include "passes/recognize_attention.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/attention.hpp"
#include "ops/concat.hpp"
#include "ops/pointwise.hpp"
#include "ops/sdpa.hpp"
#include "ops/softmax.hpp"
#include "ops/support_norm.hpp"
#include "ops/where.hpp"
#include "passes/support_constants.hpp"
#include "passes/support_heads.hpp"
#include "passes/support_rewrite.hpp"
#include "passes/support_views.hpp"

namespace carnot::passes {
namespace {

// Takes back the nodes that were added before a node.
class Attempt {
 public:
  Attempt(ir::Graph& graph, ir::Node* at) : graph_(graph), at_(at), last_(previous()) {}
  bool undo() {
    while (previous() != last_) graph_.erase(previous());
    return false;
  }

 private:
  ir::Node* previous() const {
    return at_->position == graph_.nodes().begin() ? nullptr : std::prev(at_->position)->get();
  }
  ir::Graph& graph_;
  ir::Node *at_, *last_;
};

struct Mask {
  ir::Value* value;
  bool added = true;  // else bool: keeps, or with `inverted` replaces, where true
  bool inverted = false;
  double fill = 0;
  Shape scores;  // the shape that the scores had there
};

// What stands between the first product and the softmax.
struct Scores {
  ir::Node* product = nullptr;
  double scale = 1;
  std::vector<Mask> masks;
};

bool peel(ir::Value* v, Scores& out, int depth) {
  if (!v->producer || !single_use(v) || depth > 8) return false;
  ir::Node* node = v->producer;
  const std::string_view name = node->op.name();
  if (name == "matmul") {
    out.product = node;
    return true;
  }
  if (is_reshape(node)) return peel(node->in(0), out, depth + 1);
  auto try_operand = [&](size_t x, auto&& then) {
    if (!node->in(x) || !same_shape(node->in(x), v) || node->in(x)->dtype() != v->dtype()) return false;
    Scores copy = out;
    if (!then(copy) || !peel(node->in(x), copy, depth + 1)) return false;
    out = std::move(copy);
    return true;
  };
  if (name == "mul" || name == "div") {
    for (size_t x : {0, 1}) {
      const auto number = scalar_of(node->in(1 - x));
      if (!number || (name == "div" && x == 1)) continue;
      // A mask below would be multiplied too.
      const size_t masks = out.masks.size();
      if (try_operand(x, [&](Scores& s) {
            s.scale *= name == "mul" ? *number : 1 / *number;
            return true;
          }))
        return out.masks.size() == masks;
    }
    return false;
  }
  if (name == "add")
    return try_operand(
               0, [&](Scores& s) { return s.masks.push_back({.value = node->in(1), .scores = v->shape()}), true; }) ||
           try_operand(
               1, [&](Scores& s) { return s.masks.push_back({.value = node->in(0), .scores = v->shape()}), true; });
  if (name == "where")
    for (size_t x : {1, 2}) {
      const auto fill = scalar_of(node->in(3 - x));
      if (fill && try_operand(x, [&](Scores& s) {
            s.masks.push_back(
                {.value = node->in(0), .added = false, .inverted = x == 2, .fill = *fill, .scores = v->shape()});
            return true;
          }))
        return true;
    }
  return false;
}

// The weights behind where(isnan(w), 0, w), if that is how w is used; null if w has other uses.
ir::Value* unguarded(ir::Value* w, bool& guarded) {
  guarded = false;
  if (single_use(w)) return w;
  if (w->uses.size() != 2 || w->graph->is_output(w)) return nullptr;
  for (const ir::Use& use : w->uses) {
    if (use.node->op.name() != "isnan" || !single_use(use.node->out())) continue;
    ir::Node* choice = use.node->out()->uses[0].node;
    if (choice->op.name() != "where" || choice->in(0) != use.node->out() || choice->in(2) != w ||
        !is_scalar(choice->in(1), 0))
      continue;
    if (!same_shape(choice->out(), w) || !single_use(choice->out())) continue;
    guarded = true;
    return choice->out();
  }
  return nullptr;
}

// A mask that keys at or before the query's own place pass and later ones do not: "top" or "bottom", else empty.
std::string causal_form(const Mask& mask, const Shape& scores) {
  const Constant* c = mask.value->constant ? &*mask.value->constant : nullptr;
  if (mask.scores.size() < 2 || !(mask.scores[mask.scores.size() - 2] == scores[2]) ||
      !(mask.scores.back() == scores[3]))
    return "";
  if (!c || c->dims.size() < 2 || !(scores[2] == Dim(c->dims[c->dims.size() - 2])) ||
      !(scores[3] == Dim(c->dims.back())))
    return "";
  const int64_t rows = c->dims[c->dims.size() - 2], cols = c->dims.back();
  if (c->size() != rows * cols || c->size() == 0 || rows > cols) return "";
  const std::vector<double> m = doubles_of(*c);
  for (const char* form : {"top", "bottom"}) {
    const int64_t offset = form[0] == 't' ? 0 : cols - rows;
    bool good = true;
    for (int64_t i = 0; good && i < rows; ++i)
      for (int64_t j = 0; good && j < cols; ++j) {
        const double x = m[static_cast<size_t>(i * cols + j)];
        // A large negative number hides like -inf, for each query sees a key.
        const bool open = mask.added ? x == 0 : (x != 0) != mask.inverted,
                   closed = mask.added ? x <= -1e30 : !open && mask.fill <= -1e30;
        good = j <= i + offset ? open : closed;
      }
    if (good) return form;
  }
  return "";
}

// The sum of two masks, now if both are constant.
ir::Value* sum_of(ir::Graph& g, ir::Value* a, ir::Value* b, const ir::Location& where, ir::Node* before) {
  ir::Value* sum = try_add(g, ops::Operator(ops::Add{}), {a, b}, where, before);
  if (!sum || !a->constant || !b->constant) return sum;
  const Dims dims = to_dims(sum->shape());
  auto x = ops::broadcast_doubles(a->constant->view(), dims), y = ops::broadcast_doubles(b->constant->view(), dims);
  if (!x || !y) return sum;
  for (size_t i = 0; i < x->size(); ++i) (*x)[i] += (*y)[i];
  g.erase(sum->producer);
  return g.add_constant(from_doubles(a->dtype(), dims, *x), "mask");
}

class Recognizer {
 public:
  Recognizer(ir::Graph& graph, ir::Node* softmax) : g_(graph), softmax_(softmax) {}

  bool run() {
    const auto axis = normalize_axis(softmax_->as<ops::Softmax>()->axis, softmax_->in(0)->rank());
    if (!axis || *axis + 1 != static_cast<int64_t>(softmax_->in(0)->rank())) return false;
    if (!peel(softmax_->in(0), scores_, 0)) return false;
    bool guarded = false;
    ir::Value* weights = unguarded(softmax_->out(), guarded);
    if (!weights) return false;
    // Back through the reshape that the masks wanted.
    while (weights->rank() != scores_.product->out()->rank() && is_reshape(weights->uses[0].node)) {
      weights = weights->uses[0].node->out();
      if (!single_use(weights)) return false;
    }
    last_ = weights->uses[0].node;
    if (last_->op.name() != "matmul" || weights->uses[0].index != 0) return false;
    const Shape& s = scores_.product->out()->shape();
    rank_ = s.size();
    if ((rank_ != 3 && rank_ != 4) || !(weights->shape() == s) || last_->in(1)->rank() != rank_ ||
        last_->out()->rank() != rank_)
      return false;
    if (last_->out()->dtype() != scores_.product->in(0)->dtype()) return false;
    sdpa_.zero_nan = guarded;
    for (int64_t group : groups())
      for (bool repeats : {true, false})
        if (build(group, repeats)) return true;
    return false;
  }

 private:
  // Numbers of heads that the first axis of operands of rank 3 may hold: as the view in front of one of them tells,
  // else none.
  std::vector<int64_t> groups() const {
    std::vector<int64_t> out;
    if (rank_ == 3)
      for (const ir::Value* operand : {scores_.product->in(0), scores_.product->in(1), last_->in(1)})
        for (const ir::Value* v = operand; v->producer && !v->producer->inputs.empty() && v->producer->has(0) &&
                                           v->producer->in(0)->rank() >= 3 && out.empty();
             v = v->producer->in(0)) {
          if (!is_reshape(v->producer) && v->producer->op.name() != "transpose" && v->producer->op.name() != "mul")
            break;
          const Shape& from = v->producer->in(0)->shape();
          if (is_reshape(v->producer) && from.size() == 4 && from[1].is_constant() && from[1].value() > 0 &&
              from[0] * from[1] == operand->shape()[0])
            out.push_back(from[1].value());
        }
    out.push_back(1);
    return out;
  }

  bool build(int64_t group, bool repeats) {
    if (scores_.product->in(0)->rank() != rank_ || scores_.product->in(1)->rank() != rank_) return false;
    const auto q = find_heads(scores_.product->in(0), "bhsd", group, false);
    const auto k = find_heads(scores_.product->in(1), "bhds", group, repeats),
               v = find_heads(last_->in(1), "bhsd", group, repeats);
    if (!q || !k || !v || k->heads.count != v->heads.count) return false;
    ops::Sdpa op = sdpa_;
    op.heads = q->heads.count;
    op.kv_heads = k->heads.count;
    if (op.heads % op.kv_heads != 0) return false;
    // Each side broadcasts by itself in the products; here k and v do, and only all heads or none.
    for (const HeadSource* kv : {&*k, &*v})
      if (kv->heads.count * kv->heads.repeats != op.heads && kv->heads.count != 1) return false;
    shape_ = scores_.product->out()->shape();
    if (rank_ == 3) {
      const auto batch = Dim::exact_div(shape_[0], group);
      if (!batch) return false;
      shape_ = {*batch, group, shape_[1], shape_[2]};
    }
    auto at = [](const HeadSource& s, char role) { return s.heads.shape[s.heads.layout.find(role)]; };
    if (!(at(*q, 'b') == shape_[0]) || !shape_[1].is(op.heads)) return false;
    for (const HeadSource* kv : {&*k, &*v})
      if (!(at(*kv, 'b') == shape_[0]) && !at(*kv, 'b').is(1)) return false;
    op.scale = scores_.scale * q->scale * k->scale;
    // A number on v would be one on the result; no exporter writes it.
    if (v->scale != 1) return false;

    Attempt attempt(g_, last_);
    ir::Value* mask = nullptr;
    std::vector<ir::Value*> operands;
    if (add_mask(op, mask)) {
      for (const HeadSource* s : {&*q, &*k, &*v})
        operands.push_back(add_reshape(g_, s->tensor, s->heads.shape, where_, last_));
      op.q_layout = q->heads.layout;
      op.k_layout = k->heads.layout;
      op.v_layout = v->heads.layout;
      op.q_first = q->heads.first;
      op.k_first = k->heads.first;
      op.v_first = v->heads.first;
      if (mask) operands.push_back(mask);
      if (std::find(operands.begin(), operands.end(), nullptr) == operands.end() && finish(op, operands)) return true;
    }
    return attempt.undo();
  }

  // All masks as one operand of the scores [b, h, s, s]; null if there is none.
  bool add_mask(ops::Sdpa& op, ir::Value*& mask) {
    where_ = join({last_, softmax_, scores_.product});
    for (const Mask& m : scores_.masks) {
      if (const std::string form = causal_form(m, shape_); !form.empty() && op.causal == "none") {
        op.causal = form;
        continue;
      }
      ir::Value* one = in_place(m);
      if (one && !m.added) {
        if (m.inverted) one = try_add(g_, ops::Operator(ops::Not{}), {one}, where_, last_);
        if (one && scores_.masks.size() > 1) {
          // Beside another mask, only what cannot be told from a sum.
          if (m.fill != -std::numeric_limits<double>::infinity()) return false;
          const DType dtype = last_->out()->dtype();
          one = try_add(g_, ops::Operator(ops::Where{}), {one, add_scalar(g_, dtype, 0), add_scalar(g_, dtype, m.fill)},
                        where_, last_);
        } else if (m.fill != -std::numeric_limits<double>::infinity()) {
          op.fill = m.fill;
        }
      }
      if (!one) return false;
      mask = mask ? sum_of(g_, mask, one, where_, last_) : one;
      if (!mask) return false;
    }
    return true;
  }

  ir::Value* reshaped(ir::Value* mask, const Shape& to) {
    if (!mask->constant || !is_static(to)) return add_reshape(g_, mask, to, where_, last_);
    Constant c = *mask->constant;
    c.dims = to_dims(to);
    return g_.add_constant(std::move(c), mask->name);
  }

  // The mask against [b, h, s, s], whatever shape the scores had where it was applied.
  ir::Value* in_place(const Mask& m) {
    const Shape& product = scores_.product->out()->shape();
    const size_t rank = m.value->rank();
    if (m.scores == shape_ || (rank <= 2 && m.scores.size() >= 2 && m.scores[m.scores.size() - 2] == shape_[2] &&
                               m.scores.back() == shape_[3]))
      return m.value;
    if (m.scores == product) {  // [b * h, s, s]
      if (m.value->shape()[0].is(1)) return m.value;
      const Shape& s = m.value->shape();
      return s[0] == product[0] ? reshaped(m.value, {shape_[0], shape_[1], s[1], s[2]}) : nullptr;
    }
    // [b / n, n, h, s, s]: repeats every n batches.
    if (m.scores.size() == 5 && m.scores[0] * m.scores[1] == shape_[0] && m.scores[2] == shape_[1] &&
        m.scores[3] == shape_[2] && m.scores[4] == shape_[3]) {
      if (rank <= 3) return m.value;
      const Shape& s = m.value->shape();
      if (rank == 4) return m.value;
      if (s[0].is(1)) return reshaped(m.value, Shape(s.begin() + 1, s.end()));
    }
    return nullptr;
  }

  // The node, with the views behind it in its layout.
  bool finish(ops::Sdpa& op, const std::vector<ir::Value*>& operands) {
    ir::Value* end = last_->out();
    const Shape result{shape_[0], shape_[1], shape_[2], last_->out()->shape().back()};
    AxisMap map(result);
    if (rank_ == 4 || map.reshape(end->shape())) {
      for (ir::Value* v = end; single_use(v) && v->uses[0].index == 0;) {
        const ir::Node* view = v->uses[0].node;
        if ((!is_reshape(view) && view->op.name() != "transpose") || !map.apply(view, 0)) break;
        v = view->out();
        const auto order = map.order("bhsd");
        if (!order || order->back() != 'd') continue;
        end = v;
        op.y_layout = *order;
      }
    }
    ir::Value* y = try_add(g_, ops::Operator(op), operands, where_, last_);
    if (!y) return false;
    ir::Value* z = add_reshape(g_, y, end->shape(), where_, last_);
    if (!z || !can_replace(end, z)) return false;
    z->facts = end->facts;
    const std::string name = end->name;
    g_.replace_uses(end, z);
    erase_dead(g_, end->producer);
    g_.rename(z, name);
    return true;
  }

  ir::Graph& g_;
  ir::Node* softmax_;
  ir::Node* last_ = nullptr;  // the second product
  Scores scores_;
  size_t rank_ = 0;
  Shape shape_;  // of the scores, four axes
  ops::Sdpa sdpa_;
  ir::Location where_;
};

// The operator of ONNX. Its operands of rank 3 hold the heads of a position side by side.
bool lower(ir::Graph& g, ir::Node* node) {
  const auto& from = *node->as<ops::Attention>();
  const auto wanted = [&](size_t i) {
    return i < node->outputs.size() && (!node->out(i)->uses.empty() || g.is_output(node->out(i)));
  };
  if (from.softcap != 0 || wanted(3) || node->has(6)) return false;
  const size_t rank = node->in(0)->rank();
  auto heads_of = [&](size_t i) -> std::optional<int64_t> {
    const auto& given = i == 0 ? from.q_num_heads : from.kv_num_heads;
    if (rank == 3) return given;
    const Dim& d = node->in(i)->shape()[1];
    return d.is_constant() ? std::optional(d.value()) : std::nullopt;
  };
  const auto heads = heads_of(0), kv_heads = heads_of(1);
  if (!heads || !kv_heads || *heads < 1 || *kv_heads < 1) return false;
  const bool past = node->has(4);
  // The keys of a short mask are hidden, not there.
  Dim keys = node->in(1)->shape()[rank == 3 ? 1 : 2];
  if (past) keys = keys + node->in(4)->shape()[2];
  if (node->has(3) && node->in(3)->rank() > 0 && !(node->in(3)->shape().back() == keys) &&
      !node->in(3)->shape().back().is(1))
    return false;
  if (node->has(3) && node->in(3)->dtype() != DType::kBool && node->in(3)->dtype() != node->out()->dtype())
    return false;
  const Dim &size = node->in(0)->shape().back(), queries = node->in(0)->shape()[rank == 3 ? 1 : 2];
  if (!size.is_constant()) return false;
  const Dim last = node->in(1)->shape()[rank == 3 ? 1 : 2];
  if (from.is_causal && past && !(last == queries)) return false;

  auto add = [&](ops::Operator op, std::vector<ir::Value*> in) -> ir::Value* {
    for (ir::Value* v : in)
      if (!v) return nullptr;
    return try_add(g, std::move(op), std::move(in), node->where, node);
  };
  auto shaped = [&](ir::Value* x, const Shape& to) { return x ? add_reshape(g, x, to, node->where, node) : nullptr; };
  Attempt attempt(g, node);
  ops::Sdpa op;
  op.heads = *heads;
  op.kv_heads = *kv_heads;
  op.scale = from.scale.value_or(1 / std::sqrt(static_cast<double>(size.value() / (rank == 3 ? *heads : 1))));
  if (from.is_causal) op.causal = past ? "bottom" : "top";
  if (rank == 3) op.q_layout = op.k_layout = op.v_layout = op.y_layout = "bshd";
  ir::Value* operand[3];
  for (size_t i = 0; i < 3; ++i) {
    ir::Value* x = node->in(i);
    if (rank == 3) {
      const int64_t count = i == 0 ? *heads : *kv_heads;
      const auto each = Dim::exact_div(x->shape()[2], count);
      if (!each) return attempt.undo();
      x = shaped(x, {x->shape()[0], x->shape()[1], count, *each});
    }
    operand[i] = x;
  }
  // Present keys and values are [batch, heads, positions, size].
  for (size_t i : {1, 2}) {
    if (!past && !wanted(i)) continue;
    ir::Value* x = rank == 3 && operand[i] ? add_transpose(g, operand[i], {0, 2, 1, 3}, node->where, node) : operand[i];
    if (past) x = add(ops::Operator(ops::Concat{2}), {node->in(i + 3), x});
    if (!x || (wanted(i) && !can_replace(node->out(i), x))) return attempt.undo();
    operand[i] = x;
    (i == 1 ? op.k_layout : op.v_layout) = "bhsd";
  }
  std::vector<ir::Value*> in{operand[0], operand[1], operand[2]};
  if (node->has(3)) in.push_back(node->in(3));
  ir::Value* y = shaped(add(ops::Operator(op), in), node->out()->shape());
  if (!y || !can_replace(node->out(), y)) return attempt.undo();
  const std::string name = node->out()->name;
  g.replace_uses(node->out(), y);
  for (size_t i : {1, 2})
    if (wanted(i)) g.replace_uses(node->out(i), operand[i]);
  erase_dead(g, node);
  g.rename(y, name);
  return true;
}

}  // namespace

Result<bool> RecognizeAttention::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    std::vector<ir::Node*> found;
    for (ir::Node* node : g.node_list())
      // Other types have fast kernels for parts of it at most, and those are better used one by one.
      if ((node->op.name() == "softmax" || node->op.name() == "attention") && node->in(0)->dtype() == DType::kF32)
        found.push_back(node);
    for (ir::Node* node : found) changed |= node->op.name() == "softmax" ? Recognizer(g, node).run() : lower(g, node);
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(recognize_attention, RecognizeAttention)

}  // namespace carnot::passes
