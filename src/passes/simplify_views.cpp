// SPDX-License-Identifier: Apache-2.0
#include "passes/simplify_views.hpp"

#include <algorithm>
#include <map>

#include "passes/support_rewrite.hpp"
#include "passes/support_views.hpp"

namespace carnot::passes {
namespace {

bool is_view(const ir::Node* node) { return is_reshape(node) || node->op.name() == "transpose"; }

// The axes of a tensor as lists of atoms; an atom is a factor of one axis of the first shape. Splitting an atom renumbers nothing:
// its id stays with the outer part and the inner part gets a new id right behind it in `order`.
class Chain {
 public:
  explicit Chain(const Shape& first) {
    for (const Dim& d : first) {
      axes_.emplace_back();
      if (!d.is(1)) axes_.back().push_back(new_atom(d));
    }
    for (const auto& axis : axes_)
      for (int a : axis) order_.push_back(a);
    first_axes_ = axes_;
  }

  void transpose(const std::vector<int64_t>& perm) {
    std::vector<std::vector<int>> out;
    for (int64_t p : perm) out.push_back(axes_[static_cast<size_t>(p)]);
    axes_ = std::move(out);
  }

  // False if the shapes have no common factors that can be found symbolically.
  bool reshape(const Shape& to) {
    std::vector<int> rest;
    for (const auto& axis : axes_) rest.insert(rest.end(), axis.begin(), axis.end());
    std::vector<std::vector<int>> out;
    size_t next = 0;
    for (const Dim& d : to) {
      out.emplace_back();
      if (d.is(1)) continue;
      if (d.is(0)) return false;
      Dim need = d;
      while (!need.is(1)) {
        if (next == rest.size()) return false;
        const int a = rest[next];
        if (size_[a] == need) {
          out.back().push_back(a);
          ++next;
          need = Dim(1);
          continue;
        }
        if (auto left = Dim::exact_div(need, size_[a])) {
          out.back().push_back(a);
          ++next;
          need = *left;
          continue;
        }
        const auto inner = Dim::exact_div(size_[a], need);
        if (!inner) return false;
        const int b = split(a, need, *inner);
        rest.insert(rest.begin() + static_cast<std::ptrdiff_t>(next) + 1, b);
        out.back().push_back(a);
        ++next;
        need = Dim(1);
      }
    }
    if (next != rest.size()) return false;
    axes_ = std::move(out);
    return true;
  }

  struct Plan {
    Shape before;               // shape to transpose
    std::vector<int64_t> perm;  // identity: one reshape will do
  };
  Plan plan() const {
    // Blocks: runs of atoms that are neighbours in the first order and in the last.
    std::vector<int> last;
    for (const auto& axis : axes_) last.insert(last.end(), axis.begin(), axis.end());
    std::map<int, size_t> place;
    for (size_t i = 0; i < order_.size(); ++i) place[order_[i]] = i;
    std::vector<std::vector<int>> blocks;
    for (int a : last) {
      if (!blocks.empty() && place[a] == place[blocks.back().back()] + 1)
        blocks.back().push_back(a);
      else
        blocks.push_back({a});
    }
    std::vector<size_t> by_place(blocks.size());
    for (size_t i = 0; i < blocks.size(); ++i) by_place[i] = i;
    std::sort(by_place.begin(), by_place.end(), [&](size_t x, size_t y) { return place[blocks[x][0]] < place[blocks[y][0]]; });
    Plan out;
    out.perm.resize(blocks.size());
    for (size_t i = 0; i < by_place.size(); ++i) {
      Dim size(1);
      for (int a : blocks[by_place[i]]) size = size * size_.at(a);
      out.before.push_back(size);
      out.perm[by_place[i]] = static_cast<int64_t>(i);
    }
    return out;
  }

  // The transpose that does it without reshapes, if the axes are the first shape's in another order.
  std::optional<std::vector<int64_t>> plain_perm(const Shape& first) const {
    if (axes_.size() != first_axes_.size()) return std::nullopt;
    std::vector<int64_t> perm;
    std::vector<bool> taken(first_axes_.size(), false);
    for (const auto& axis : axes_) {
      bool found = false;
      for (size_t i = 0; i < first_axes_.size() && !found; ++i)
        if (!taken[i] && whole(i) == axis && first[i].is(1) == axis.empty()) {
          taken[i] = found = true;
          perm.push_back(static_cast<int64_t>(i));
        }
      if (!found) return std::nullopt;
    }
    return perm;
  }

 private:
  int new_atom(const Dim& d) {
    const int id = static_cast<int>(size_.size());
    size_.emplace(id, d);
    return id;
  }
  int split(int a, const Dim& outer, const Dim& inner) {
    const int b = new_atom(inner);
    size_[a] = outer;
    order_.insert(std::find(order_.begin(), order_.end(), a) + 1, b);
    for (auto* axes : {&axes_, &first_axes_})
      for (auto& axis : *axes)
        if (auto it = std::find(axis.begin(), axis.end(), a); it != axis.end()) axis.insert(it + 1, b);
    return b;
  }
  const std::vector<int>& whole(size_t i) const { return first_axes_[i]; }

  std::map<int, Dim> size_;
  std::vector<int> order_;  // atoms as they lie in memory
  std::vector<std::vector<int>> axes_, first_axes_;
};

// Transposes copy, reshapes are free.
struct Cost {
  size_t transposes = 0, reshapes = 0;
  bool operator<(const Cost& o) const { return transposes != o.transposes ? transposes < o.transposes : reshapes < o.reshapes; }
};

// The longest chain that ends at `node`, first view first. Views inside may have other users: those keep their own copy, and ours
// gets shorter.
std::vector<ir::Node*> chain_to(ir::Node* node) {
  std::vector<ir::Node*> chain;
  for (ir::Node* n = node; n && is_view(n) && n->has(0) && chain.size() < 64; n = n->in(0)->producer) chain.push_back(n);
  std::reverse(chain.begin(), chain.end());
  return chain;
}

bool simplify(ir::Graph& g, ir::Node* node, bool ends_here) {
  std::vector<ir::Node*> chain = chain_to(node);
  // Shorter chains are tried too: the first view may be the one whose shapes have no common factors.
  for (; !chain.empty(); chain.erase(chain.begin())) {
    ir::Value* x = chain[0]->in(0);
    Chain state(x->shape());
    Cost now;
    bool good = true;
    for (ir::Node* view : chain) {
      if (auto perm = perm_of(view)) {
        ++now.transposes;
        state.transpose(*perm);
      } else {
        ++now.reshapes;
        good = good && state.reshape(view->out()->shape());
      }
      if (!good) break;
    }
    if (!good) continue;
    // Views that others need as well stay, so only what ours alone needs is won.
    for (size_t i = 0; i + 1 < chain.size(); ++i)
      if (!single_use(chain[i]->out())) {
        now = {};
        for (size_t k = i + 1; k < chain.size(); ++k) (perm_of(chain[k]) ? now.transposes : now.reshapes)++;
      }
    const Shape& last = node->out()->shape();
    const Chain::Plan plan = state.plan();
    const auto plain = state.plain_perm(x->shape());
    Cost then;
    if (is_identity(plan.perm)) {
      then.reshapes = x->shape() == last ? 0 : 1;
    } else if (plain) {
      then.transposes = 1;
    } else {
      then.transposes = 1;
      Shape after;
      for (int64_t p : plan.perm) after.push_back(plan.before[static_cast<size_t>(p)]);
      then.reshapes = (x->shape() == plan.before ? 0 : 1) + (after == last ? 0 : 1);
    }
    if (!(then < now) || !ends_here) continue;
    if (then.transposes == 0 && then.reshapes == 0) {
      if (g.is_output(node->out()) && !x->producer && !x->constant) return false;
      g.replace_uses(node->out(), x);
      return true;
    }
    const ir::Location where = join({chain.rbegin(), chain.rend()});
    ir::Value* y = x;
    std::vector<ir::Value*> made;
    auto add = [&](ir::Value* v) {
      if (v && v != y) made.push_back(v);
      y = v;
    };
    if (is_identity(plan.perm)) {
      add(add_reshape(g, y, last, where, node));
    } else if (plain) {
      add(add_transpose(g, y, *plain, where, node));
    } else {
      add(add_reshape(g, y, plan.before, where, node));
      if (y) add(add_transpose(g, y, plan.perm, where, node));
      if (y) add(add_reshape(g, y, last, where, node));
    }
    if (!y || !can_replace(node->out(), y)) {
      for (size_t i = made.size(); i-- > 0;) g.erase(made[i]->producer);
      continue;
    }
    y->facts = node->out()->facts;
    g.replace_uses(node->out(), y);
    const std::string name = node->out()->name;
    erase_dead(g, node);
    if (!made.empty()) g.rename(y, name);
    return true;
  }
  return false;
}

// pointwise(view(x), scalars...) => view(pointwise(x, scalars...)), where all users are views.
bool sink(ir::Graph& g, ir::Node* node) {
  if (!node->op.info().pointwise || node->outputs.size() != 1 || node->out()->uses.empty() || g.is_output(node->out())) return false;
  size_t moved = node->inputs.size();
  for (size_t i = 0; i < node->inputs.size(); ++i) {
    const ir::Value* v = node->in(i);
    if (!v || (v->constant && v->constant->size() == 1 && v->rank() <= 1)) continue;
    if (moved != node->inputs.size()) return false;
    moved = i;
  }
  if (moved == node->inputs.size()) return false;
  ir::Value* x = node->in(moved);
  ir::Node* view = x->producer;
  if (!view || !is_view(view) || !single_use(x) || !same_shape(x, node->out()) || view->in(0)->rank() == 0) return false;
  for (const ir::Use& use : node->out()->uses)
    if (!is_view(use.node)) return false;
  std::vector<ir::Value*> inputs = node->inputs;
  inputs[moved] = view->in(0);
  ir::Value* y = try_add(g, node->op, inputs, node->where, node);
  if (!y) return false;
  std::vector<ir::Value*> view_inputs = view->inputs;
  view_inputs[0] = y;
  ir::Value* z = try_add(g, view->op, view_inputs, view->where, node);
  if (!z || !can_replace(node->out(), z)) {
    if (z) g.erase(z->producer);
    g.erase(y->producer);
    return false;
  }
  z->facts = node->out()->facts;
  g.replace_uses(node->out(), z);
  erase_dead(g, node);
  return true;
}

}  // namespace

Result<bool> SimplifyViews::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    bool again = true;
    while (again) {
      again = false;
      for (auto it = g.nodes().begin(); it != g.nodes().end();) {
        ir::Node* node = it->get();
        ++it;
        if (node->out()->uses.empty() && !g.is_output(node->out())) continue;
        if (sink(g, node)) {
          again = true;
          continue;
        }
        if (!is_view(node)) continue;
        // A view that only other views read is part of their chains.
        const auto& uses = node->out()->uses;
        const bool ends_here = g.is_output(node->out()) || std::any_of(uses.begin(), uses.end(), [](const ir::Use& u) { return !is_view(u.node) || u.index != 0; });
        again |= simplify(g, node, ends_here);
      }
      changed |= again;
    }
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(simplify_views, SimplifyViews)

}  // namespace carnot::passes
