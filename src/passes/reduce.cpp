// SPDX-License-Identifier: Apache-2.0
#include "passes/reduce.hpp"

#include <algorithm>

#include "ir/interpret.hpp"
#include "ir/text.hpp"
#include "ir/verify.hpp"
#include "passes/manager.hpp"
#include "passes/remove_dead.hpp"

namespace carnot::passes {
namespace {

using GraphPtr = std::unique_ptr<ir::Graph>;

void clean(ir::Graph& g) {
  PassContext context;
  Result<bool> removed = RemoveDead{}.run(g, context);
  (void)removed;
  auto& inputs = g.mutable_inputs();
  std::erase_if(inputs, [&](const ir::Value* v) { return v->uses.empty() && !g.is_output(v); });
}

// A copy without dropped inputs: the originals still own the values of inputs that were erased from the list.
GraphPtr settle(const ir::Graph& g) { return g.clone(nullptr); }

ir::Node* node_at(ir::Graph& g, size_t i) { return std::next(g.nodes().begin(), static_cast<std::ptrdiff_t>(i))->get(); }

class Reducer {
 public:
  Reducer(GraphPtr graph, const StillFails& still_fails) : graph_(std::move(graph)), still_fails_(still_fails) {}

  GraphPtr run() {
    bool changed = true;
    while (changed) {
      changed = false;
      changed |= each(graph_->outputs().size(), [](ir::Graph& g, size_t i) { return drop_output(g, i); });
      changed |= each(graph_->nodes().size(), [](ir::Graph& g, size_t i) { return end_at(g, i); });
      changed |= each(graph_->nodes().size(), [](ir::Graph& g, size_t i) { return start_behind(g, i); });
    }
    return std::move(graph_);
  }

 private:
  // Tries a cut at every place, last first; those behind the end of a graph that has shrunk are left out.
  template <typename Cut>
  bool each(size_t places, Cut cut) {
    bool changed = false;
    for (size_t i = places; i-- > 0;) {
      GraphPtr trial = graph_->clone(nullptr);
      if (!cut(*trial, i)) continue;
      clean(*trial);
      trial = settle(*trial);
      if (!ir::verify(*trial) || !still_fails_(*trial)) continue;
      graph_ = std::move(trial);
      changed = true;
    }
    return changed;
  }

  static bool drop_output(ir::Graph& g, size_t i) {
    if (g.outputs().size() < 2 || i >= g.outputs().size()) return false;
    std::vector<ir::Value*> outputs = g.outputs();
    std::vector<std::string> names = g.output_names();
    outputs.erase(outputs.begin() + static_cast<std::ptrdiff_t>(i));
    names.erase(names.begin() + static_cast<std::ptrdiff_t>(i));
    g.set_outputs(std::move(outputs), std::move(names));
    return true;
  }

  static bool end_at(ir::Graph& g, size_t i) {
    if (i + 1 >= g.nodes().size()) return false;
    g.set_outputs(node_at(g, i)->outputs);
    return true;
  }

  static bool start_behind(ir::Graph& g, size_t i) {
    if (i >= g.nodes().size()) return false;
    ir::Node* node = node_at(g, i);
    for (ir::Value* v : node->outputs) {
      if (v->dtype() == DType::kInvalid) return false;
      if (v->uses.empty() && !g.is_output(v)) continue;
      ir::Value* input = g.add_input(v->name, v->dtype(), v->shape());
      g.replace_uses(v, input);
    }
    // A graph of inputs alone shows nothing.
    return g.nodes().size() > 1;
  }

  GraphPtr graph_;
  const StillFails& still_fails_;
};

}  // namespace

Result<std::unique_ptr<ir::Graph>> reduce(const ir::Graph& graph, const StillFails& still_fails) {
  if (!still_fails(graph)) return invalid("the graph does not show the failure");
  return Reducer(graph.clone(nullptr), still_fails).run();
}

Status check_passes(const ir::Graph& graph, const std::vector<std::string>& pass_names) {
  Phase phase{"check", {}};
  for (const std::string& name : pass_names) {
    const PassEntry* pass = find_pass(name);
    if (!pass) return invalid("there is no pass '{}'", name);
    phase.passes.push_back(pass->name);
  }
  auto changed = graph.clone(nullptr);
  PassContext context;
  for (std::string_view name : phase.passes) {
    CARNOT_RETURN_IF_ERROR(find_pass(name)->run(*changed, context));
    CARNOT_RETURN_IF_ERROR(RemoveDead{}.run(*changed, context));
    CARNOT_RETURN_IF_ERROR(ir::verify(*changed));
  }
  auto inputs = ir::random_inputs(graph);
  if (!inputs) return {};
  std::vector<TensorView> views;
  for (const Constant& c : *inputs) views.push_back(c.view());
  auto before = ir::interpret(graph, views);
  if (!before) return {};  // nothing to compare with
  CARNOT_ASSIGN(const std::vector<Constant> after, ir::interpret(*changed, views));
  const std::string different = ir::difference(*before, after);
  if (!different.empty()) return fail(Code::kInternal, "the passes changed the result: {}", different);
  return {};
}

Result<std::string> reduce_text(std::string_view text, const std::vector<std::string>& pass_names) {
  CARNOT_ASSIGN(auto graph, ir::parse(text));
  CARNOT_RETURN_IF_ERROR(ir::verify(*graph));
  for (const std::string& name : pass_names)
    if (!find_pass(name)) return invalid("there is no pass '{}'", name);
  const auto fails = [&](const ir::Graph& g) { return !check_passes(g, pass_names); };
  CARNOT_ASSIGN(auto small, reduce(*graph, fails));
  return ir::print(*small);
}

}  // namespace carnot::passes
