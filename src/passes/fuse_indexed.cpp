// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_indexed.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "ops/concat.hpp"
#include "ops/gather.hpp"
#include "ops/slice.hpp"
#include "ops/split.hpp"
#include "passes/support_group.hpp"
#include "passes/support_rewrite.hpp"
#include "passes/support_views.hpp"

namespace carnot::passes {
namespace {

constexpr size_t kMaxMembers = 64, kMaxJoined = 4, kMaxReads = 64, kMaxOperands = 24, kMaxRoots = 4;

bool has_lane(DType t) { return t != DType::kInvalid && t != DType::kString && t != DType::kF64 && t != DType::kU64; }

bool is_pointwise(const ir::Node& node) {
  return node.op.info().pointwise && std::all_of(node.inputs.begin(), node.inputs.end(), [](const ir::Value* v) { return !v || has_lane(v->dtype()); });
}
bool is_joint(const ir::Node& node) { return node.as<ops::Concat>() && node.inputs.size() <= kMaxJoined; }

// Bounds that are numbers, steps of one.
bool is_cut(const ir::Node& node) {
  if (!node.as<ops::Slice>()) return false;
  const auto starts = ints_of(node.in(1));
  const auto axes = node.has(3) ? ints_of(node.in(3)) : std::optional(std::vector<int64_t>());
  const auto steps = node.has(4) ? ints_of(node.in(4)) : std::optional(std::vector<int64_t>());
  if (!starts || !axes || !steps || std::any_of(steps->begin(), steps->end(), [](int64_t s) { return s != 1; })) return false;
  for (size_t i = 0; i < starts->size(); ++i) {
    const auto axis = normalize_axis(node.has(3) ? (*axes)[i] : static_cast<int64_t>(i), node.in(0)->rank());
    if (!axis || !node.in(0)->shape()[static_cast<size_t>(*axis)].is_constant()) return false;
  }
  return true;
}

// One row, whose number is known.
bool is_row(const ir::Node& node) {
  const auto* gather = node.as<ops::Gather>();
  if (!gather) return false;
  const auto index = ints_of(node.in(1));
  const auto axis = normalize_axis(gather->axis, node.in(0)->rank());
  if (!index || index->size() != 1 || node.in(1)->rank() > 1 || !axis) return false;
  const Dim& size = node.in(0)->shape()[static_cast<size_t>(*axis)];
  return size.is_constant() && (*index)[0] < size.value() && (*index)[0] >= -size.value();
}

// Rows stay rows: what lies side by side is read side by side.
bool is_turn(const ir::Node& node) {
  const auto perm = perm_of(&node);
  return perm && !perm->empty() && perm->back() == static_cast<int64_t>(perm->size()) - 1;
}

bool is_move(const ir::Node& node) { return is_cut(node) || is_row(node) || is_turn(node) || is_reshape(&node); }

bool takes_part(const ir::Node& node) {
  if (node.outputs.size() != 1 || !has_lane(node.out()->dtype()) || node.out()->facts.values) return false;
  return is_pointwise(node) || is_joint(node) || is_move(node);
}

class Regions {
 public:
  explicit Regions(ir::Graph& graph) : graph_(graph) {}

  Result<bool> run() {
    const std::vector<ir::Node*> nodes = graph_.node_list();
    for (size_t i = nodes.size(); i-- > 0;)
      if (!owner_.count(nodes[i]) && takes_part(*nodes[i]) && is_float(nodes[i]->out()->dtype()) && !is_reshape(nodes[i])) grow(nodes[i]);
    join_neighbours();
    std::unordered_map<const ir::Node*, size_t> place;
    for (ir::Node* n : graph_.node_list()) place.emplace(n, place.size());
    bool changed = false;
    for (Region& r : regions_) {
      if (r.members.empty()) continue;
      std::vector<ir::Node*> members = r.members;
      std::sort(members.begin(), members.end(), [&](const ir::Node* a, const ir::Node* b) { return place.at(a) < place.at(b); });
      CARNOT_RETURN_IF_ERROR(make_group(graph_, members, "indexed"));
      changed = true;
    }
    return changed;
  }

 private:
  struct Region {
    std::vector<ir::Node*> members, roots;
    bool has(const ir::Node* n) const { return std::find(members.begin(), members.end(), n) != members.end(); }
  };
  struct Rewired {
    ir::Node* reader;
    size_t operand;
    ir::Value* before;
  };

  // The region whose only result is the root's: producers join whose results nobody else reads. Moves are cheap to repeat, so one that
  // others read as well joins as a copy.
  void grow(ir::Node* root) {
    Region r{{root}, {root}};
    std::vector<Rewired> rewired;
    std::map<ir::Value*, ir::Value*> copies;
    for (bool again = true; again;) {
      again = false;
      const std::vector<ir::Node*> members = r.members;
      for (ir::Node* m : members)
        for (size_t i = 0; i < m->inputs.size(); ++i) {
          ir::Value* v = m->inputs[i];
          ir::Node* p = v ? v->producer : nullptr;
          if (!p || r.has(p) || owner_.count(p) || (i > 0 && !is_pointwise(*m) && !is_joint(*m))) continue;
          const bool own = !graph_.is_output(v) && std::all_of(v->uses.begin(), v->uses.end(), [&](const ir::Use& u) { return r.has(u.node); });
          const bool split = p->as<ops::Split>() != nullptr;
          if (!split && !takes_part(*p)) continue;
          if (r.members.size() >= kMaxMembers) continue;
          if (!split && own && (is_move(*p) || !is_pointwise(*m) || same_shape(v, m->out()))) {
            r.members.push_back(p);
            again = true;
          } else if (split || is_move(*p)) {
            ir::Value*& copy = copies[v];
            if (!copy) copy = split ? cut_instead(p, v) : repeated(p, v);
            if (!copy) continue;
            rewired.push_back({m, i, v});
            graph_.set_input(m, i, copy);
            if (!r.has(copy->producer)) r.members.push_back(copy->producer);
            again = true;
          }
        }
    }
    drop_outer_reshapes(r);
    if (pays(r)) {
      for (ir::Node* n : r.members) owner_[n] = regions_.size();
      regions_.push_back(std::move(r));
      return;
    }
    for (size_t i = rewired.size(); i-- > 0;) graph_.set_input(rewired[i].reader, rewired[i].operand, rewired[i].before);
    // Copies of copies: the readers go first.
    for (bool again = true; again;) {
      again = false;
      for (auto& [_, copy] : copies)
        if (copy && copy->uses.empty()) {
          graph_.erase(copy->producer);
          copy = nullptr;
          again = true;
        }
    }
  }

  // The copy stands where the original does: its other readers may come before this region's.
  ir::Value* repeated(ir::Node* p, ir::Value* v) {
    ir::Graph::NodeOptions options;
    options.where = p->where;
    options.before = p;
    return graph_.add_unchecked(p->op, p->inputs, {v->facts}, std::move(options))->out();
  }
  ir::Value* cut_instead(ir::Node* p, ir::Value* v) {
    const auto axis = normalize_axis(p->as<ops::Split>()->axis, v->rank());
    if (!axis || !has_lane(v->dtype()) || !is_float(v->dtype())) return nullptr;
    const auto a = static_cast<size_t>(*axis);
    int64_t start = 0;
    for (const ir::Value* y : p->outputs) {
      if (!y->shape()[a].is_constant()) return nullptr;
      if (y == v) break;
      start += y->shape()[a].value();
    }
    if (!p->in(0)->shape()[a].is_constant()) return nullptr;
    auto number = [&](int64_t n) { return graph_.add_constant(Constant::from({1}, std::vector<int64_t>{n}), "bound"); };
    std::vector<ir::Value*> inputs{p->in(0), number(start), number(start + v->shape()[a].value()), number(*axis)};
    ir::Graph::NodeOptions options;
    options.where = p->where;
    options.before = p;
    return graph_.add_unchecked(ops::Operator(ops::Slice{}), std::move(inputs), {v->facts}, std::move(options))->out();
  }

  // A reshape of what comes from outside is a view: it costs nothing there.
  static void drop_outer_reshapes(Region& r) {
    for (bool again = true; again;) {
      again = false;
      for (size_t i = 0; i < r.members.size() && !again; ++i) {
        const ir::Value* x = r.members[i]->in(0);
        again = is_reshape(r.members[i]) && !(x->producer && r.has(x->producer));
        if (again) r.members.erase(r.members.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
  }

  static bool pays(const Region& r) {
    size_t launches = 0, moves = 0;
    std::set<const ir::Value*> operands;
    std::map<const ir::Node*, size_t> reads;
    for (const ir::Node* n : r.members) {
      launches += !is_reshape(n);
      moves += !is_reshape(n) && !is_pointwise(*n);
      for (const ir::Value* v : n->inputs)
        if (v && !(v->producer && r.has(v->producer))) operands.insert(v);
    }
    return launches >= 2 && moves >= 1 && operands.size() <= kMaxOperands && reads_of(r, r.roots[0], reads) <= kMaxReads;
  }
  // How many steps computing one element takes where nothing is remembered.
  static size_t reads_of(const Region& r, const ir::Node* n, std::map<const ir::Node*, size_t>& known) {
    if (auto it = known.find(n); it != known.end()) return it->second;
    size_t sum = 1;
    for (const ir::Value* v : n->inputs)
      if (v && v->producer && r.has(v->producer)) sum = std::min(sum + reads_of(r, v->producer, known), kMaxReads + 1);
    return known[n] = sum;
  }

  // Regions of one shape that read the same tensor become one with several results.
  void join_neighbours() {
    for (size_t b = 0; b < regions_.size(); ++b)
      for (size_t a = 0; a < b && !regions_[b].members.empty(); ++a) {
        Region &x = regions_[a], &y = regions_[b];
        if (x.members.empty() || x.roots.size() + y.roots.size() > kMaxRoots || !same_shape(x.roots[0]->out(), y.roots[0]->out()) || !share(x, y) || linked(a, b)) continue;
        for (ir::Node* n : y.members) owner_[n] = a;
        x.members.insert(x.members.end(), y.members.begin(), y.members.end());
        x.roots.insert(x.roots.end(), y.roots.begin(), y.roots.end());
        y = {};
      }
  }
  static std::set<const ir::Value*> operands_of(const Region& r) {
    std::set<const ir::Value*> all;
    for (const ir::Node* n : r.members)
      for (const ir::Value* v : n->inputs)
        if (v && !v->constant && !(v->producer && r.has(v->producer))) all.insert(v);
    return all;
  }
  static bool share(const Region& x, const Region& y) {
    const auto a = operands_of(x), b = operands_of(y);
    std::set<const ir::Value*> both(a);
    both.insert(b.begin(), b.end());
    return both.size() < a.size() + b.size() && both.size() <= kMaxOperands;
  }
  // Whether one of the two needs the other's results; regions count as a whole, since each will run as one.
  bool linked(size_t a, size_t b) const {
    std::set<const ir::Node*> seen;
    std::vector<const ir::Node*> work;
    auto enter = [&](const ir::Node* n) {
      auto it = owner_.find(n);
      if (it == owner_.end()) {
        if (seen.insert(n).second) work.push_back(n);
        return;
      }
      for (const ir::Node* m : regions_[it->second].members)
        if (seen.insert(m).second) work.push_back(m);
    };
    bool met = false;
    for (const size_t start : {a, b}) {
      seen.clear();
      work.assign(regions_[start].members.begin(), regions_[start].members.end());
      seen.insert(work.begin(), work.end());
      const size_t other = start == a ? b : a;
      for (size_t done = 0; done < work.size() && !met; ++done)
        for (const ir::Value* v : work[done]->inputs)
          if (v && v->producer && !seen.count(v->producer)) {
            met = met || regions_[other].has(v->producer);
            enter(v->producer);
          }
    }
    return met;
  }

  ir::Graph& graph_;
  std::unordered_map<const ir::Node*, size_t> owner_;
  std::vector<Region> regions_;
};

}  // namespace

Result<bool> FuseIndexed::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    CARNOT_ASSIGN(const bool some, Regions(g).run());
    changed |= some;
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(fuse_indexed, FuseIndexed)

}  // namespace carnot::passes
