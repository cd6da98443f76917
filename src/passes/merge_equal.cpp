// SPDX-License-Identifier: Apache-2.0
#include "passes/merge_equal.hpp"

#include <functional>
#include <map>
#include <unordered_map>

namespace carnot::passes {
namespace {

// Large weights are hardly ever stored twice, and comparing them costs more than it gives.
constexpr size_t kMaxConstantBytes = 4096;

size_t mix(size_t seed, size_t value) { return seed ^ (value + 0x9e3779b97f4a7c15u + (seed << 6) + (seed >> 2)); }

bool merge_constants(ir::Graph& g) {
  bool changed = false;
  std::unordered_map<size_t, std::vector<ir::Value*>> seen;
  for (const auto& owned : g.values()) {
    ir::Value* v = owned.get();
    if (!v->constant || v->constant->bytes() > kMaxConstantBytes || (v->uses.empty() && !g.is_output(v))) continue;
    size_t key = mix(std::hash<std::string_view>()({v->constant->as<char>(), v->constant->bytes()}), static_cast<size_t>(v->dtype()));
    for (int64_t d : v->constant->dims) key = mix(key, static_cast<size_t>(d));
    auto& candidates = seen[key];
    ir::Value* same = nullptr;
    for (ir::Value* c : candidates)
      if (c->constant->equals(*v->constant)) same = c;
    if (same) {
      g.replace_uses(v, same);
      changed = true;
    } else {
      candidates.push_back(v);
    }
  }
  if (changed) g.drop_unused_constants();
  return changed;
}

// Of two equal values with sizes that only the run knows, each has symbols of its own for them. They are the same sizes.
class EqualDims {
 public:
  void add(const ir::Value& gone, const ir::Value& kept) {
    if (gone.shape().size() != kept.shape().size()) return;
    for (size_t a = 0; a < gone.shape().size(); ++a) {
      const Dim from = gone.shape()[a].substitute(now_), to = kept.shape()[a].substitute(now_);
      const auto symbol = from.as_symbol();
      if (!symbol || from == to) continue;
      const std::map<std::string, Dim, std::less<>> one{{*symbol, to}};
      for (auto& [_, dim] : now_) dim = dim.substitute(one);
      now_.emplace(*symbol, to);
    }
  }
  Status apply(ir::Graph& g) const {
    if (now_.empty()) return {};
    for (const auto& v : g.values()) {
      for (Dim& d : v->facts.shape) d = d.substitute(now_);
      if (v->facts.values)
        for (Dim& d : *v->facts.values) d = d.substitute(now_);
    }
    return {};
  }

 private:
  std::map<std::string, Dim, std::less<>> now_;  // none of whose results holds one of the symbols
};

bool merge_nodes(ir::Graph& g, EqualDims& dims) {
  bool changed = false;
  std::unordered_map<size_t, std::vector<ir::Node*>> seen;
  for (ir::Node* node : g.node_list()) {
    if (!node->op.info().pure || !node->bodies.empty()) continue;
    size_t key = mix(std::hash<std::string_view>()(node->op.name()), node->outputs.size());
    for (const ir::Value* v : node->inputs) key = mix(key, std::hash<const void*>()(v));
    auto& candidates = seen[key];
    ir::Node* same = nullptr;
    for (ir::Node* c : candidates)
      if (c->inputs == node->inputs && c->outputs.size() == node->outputs.size() && c->op == node->op) same = c;
    if (!same) {
      candidates.push_back(node);
      continue;
    }
    for (size_t i = 0; i < node->outputs.size(); ++i) dims.add(*node->outputs[i], *same->outputs[i]);
    for (size_t i = 0; i < node->outputs.size(); ++i) g.replace_uses(node->outputs[i], same->outputs[i]);
    g.erase(node);
    changed = true;
  }
  return changed;
}

}  // namespace

Result<bool> MergeEqual::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  EqualDims dims;
  auto one = [&](ir::Graph& g) -> Status {
    changed |= merge_constants(g);
    changed |= merge_nodes(g, dims);
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  CARNOT_RETURN_IF_ERROR(each_graph(graph, [&](ir::Graph& g) { return dims.apply(g); }));
  return changed;
}

CARNOT_DEFINE_PASS(merge_equal, MergeEqual)

}  // namespace carnot::passes
