// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_pointwise.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "passes/support_group.hpp"
#include "passes/support_rewrite.hpp"

namespace carnot::passes {
namespace {

// Limits of cpu::PointwiseProgram.
constexpr size_t kMaxOperands = 16, kMaxScalars = 48, kMaxNodes = 128, kMaxResults = 8;

bool has_lane(DType t) { return t != DType::kInvalid && t != DType::kString && t != DType::kF64 && t != DType::kU64; }

bool eligible(const ir::Node& node) {
  if (!node.op.info().pointwise || node.outputs.size() != 1 || !has_lane(node.out()->dtype())) return false;
  // Shape arithmetic is no tensor work: it stays visible to whoever plans shapes.
  if (node.out()->facts.values) return false;
  return std::all_of(node.inputs.begin(), node.inputs.end(), [](const ir::Value* v) { return !v || has_lane(v->dtype()); });
}

class Regions {
 public:
  explicit Regions(ir::Graph& graph) : graph_(graph) {}

  Result<bool> run() {
    const std::vector<ir::Node*> nodes = graph_.node_list();
    for (size_t i = 0; i < nodes.size(); ++i) place_[nodes[i]] = i;
    for (ir::Node* node : nodes)
      if (eligible(*node)) {
        region_[node] = members_.size();
        members_.push_back({node});
      }
    for (ir::Node* node : nodes) {
      if (!region_.count(node)) continue;
      for (const ir::Value* v : node->inputs) {
        ir::Node* from = v ? v->producer : nullptr;
        if (!from || !region_.count(from) || !same_shape(from->out(), node->out())) continue;
        try_merge(region_[from], region_[node]);
      }
      // Siblings that read the same tensor save a pass over it.
      for (const ir::Value* v : node->inputs) {
        if (!v || v->constant || !same_shape(v, node->out())) continue;
        for (const ir::Use& use : v->uses)
          if (use.node != node && region_.count(use.node) && place_[use.node] < place_[node] && same_shape(use.node->out(), node->out()))
            try_merge(region_[use.node], region_[node]);
      }
    }
    bool changed = false;
    for (auto& members : members_) {
      if (members.size() < 2) continue;
      std::sort(members.begin(), members.end(), [&](const ir::Node* a, const ir::Node* b) { return place_[a] < place_[b]; });
      CARNOT_RETURN_IF_ERROR(make_group(graph_, members, "pointwise"));
      changed = true;
    }
    return changed;
  }

 private:
  void try_merge(size_t a, size_t b) {
    if (a == b || members_[a].size() + members_[b].size() > kMaxNodes) return;
    std::vector<ir::Node*> both = members_[a];
    both.insert(both.end(), members_[b].begin(), members_[b].end());
    const std::unordered_set<const ir::Node*> inside(both.begin(), both.end());
    std::unordered_set<const ir::Value*> operands, scalars;
    size_t results = 0;
    for (const ir::Node* n : both) {
      for (const ir::Value* v : n->inputs)
        if (v && !(v->producer && inside.count(v->producer))) (v->constant && v->constant->size() == 1 ? scalars : operands).insert(v);
      const ir::Value* y = n->out();
      results += graph_.is_output(y) || std::any_of(y->uses.begin(), y->uses.end(), [&](const ir::Use& u) { return !inside.count(u.node); });
    }
    if (operands.size() > kMaxOperands || scalars.size() > kMaxScalars || results > kMaxResults || makes_cycle(both, inside)) return;
    for (ir::Node* n : members_[b]) region_[n] = a;
    members_[a] = std::move(both);
    members_[b].clear();
  }

  // Whether something outside depends on a member and is needed by another: walks up from the operands, taking other regions whole,
  // since each will run as one.
  bool makes_cycle(const std::vector<ir::Node*>& both, const std::unordered_set<const ir::Node*>& inside) {
    std::vector<char> seen(place_.size(), 0);
    std::vector<const ir::Node*> work(both.begin(), both.end());
    for (size_t done = 0; done < work.size(); ++done) {
      for (const ir::Value* v : work[done]->inputs) {
        const ir::Node* n = v ? v->producer : nullptr;
        if (!n) continue;
        if (inside.count(n)) {
          if (done >= both.size()) return true;
          continue;
        }
        if (seen[place_[n]]) continue;
        auto it = region_.find(n);
        if (it == region_.end()) {
          seen[place_[n]] = 1;
          work.push_back(n);
          continue;
        }
        for (const ir::Node* m : members_[it->second]) {
          seen[place_[m]] = 1;
          work.push_back(m);
        }
      }
    }
    return false;
  }

  ir::Graph& graph_;
  std::unordered_map<const ir::Node*, size_t> place_, region_;
  std::vector<std::vector<ir::Node*>> members_;
};

}  // namespace

Result<bool> FusePointwise::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    CARNOT_ASSIGN(const bool some, Regions(g).run());
    changed |= some;
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(fuse_pointwise, FusePointwise)

}  // namespace carnot::passes
