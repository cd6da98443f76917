// SPDX-License-Identifier: Apache-2.0
#include "tactics/tactic.hpp"

#include <algorithm>
#include <set>

#include "base/env.hpp"
#include "base/log.hpp"
#include "ops/group.hpp"

namespace carnot::tactics {

// One line per file of the backends' folders: CARNOT_TACTIC_FILE(device, family).
#define CARNOT_TACTIC_FILE(device, family) std::vector<const Tactic*> tactics_##device##_##family();
#include "all_tactics.inc"
#undef CARNOT_TACTIC_FILE

const std::vector<const Tactic*>& all_tactics() {
  static const std::vector<const Tactic*> list = [] {
    std::vector<const Tactic*> all;
#define CARNOT_TACTIC_FILE(device, family) \
  for (const Tactic* t : tactics_##device##_##family()) all.push_back(t);
#include "all_tactics.inc"
#undef CARNOT_TACTIC_FILE
    for (const std::string& name : env_list(EnvVar::kDisableTactics)) std::erase_if(all, [&](const Tactic* t) { return t->name() == name; });
    std::sort(all.begin(), all.end(), [](const Tactic* a, const Tactic* b) {
      if ((a->device() == "cpu") != (b->device() == "cpu")) return b->device() == "cpu";
      return a->priority() != b->priority() ? a->priority() > b->priority() : a->name() < b->name();
    });
    return all;
  }();
  return list;
}

namespace {

// Whether the result has a size that nothing before the node tells: only the operator itself, run by the reference, can find it.
bool sized_by_run(const ir::Node& node) {
  std::set<std::string> made;
  for (const ir::Value* v : node.outputs)
    for (const Dim& d : v->shape()) d.collect_symbols(made);
  if (made.empty()) return false;
  std::set<std::string> known;
  auto know = [&](const ir::Value* v) {
    if (!v) return;
    for (const Dim& d : v->shape()) d.collect_symbols(known);
  };
  auto all_known = [&] { return std::includes(known.begin(), known.end(), made.begin(), made.end()); };
  for (const ir::Value* v : node.inputs) know(v);
  if (all_known()) return false;
  for (const ir::Graph* g = node.graph; g; g = g->parent()) {
    for (const ir::Value* v : g->inputs()) know(v);
    for (const auto& n : g->nodes()) {
      if (n.get() == &node) break;
      for (const ir::Value* v : n->outputs) know(v);
    }
  }
  return !all_known();
}

}  // namespace

std::string Problem::str() const {
  std::string text = node.op.str();
  for (const ir::Value* v : node.inputs)
    text += v ? fmt::format(" {}{}{}", dtype_name(v->dtype()), to_string(v->shape()), v->constant ? "!" : "") : " _";
  text += " ->";
  for (const ir::Value* v : node.outputs) text += fmt::format(" {}{}", dtype_name(v->dtype()), to_string(v->shape()));
  return text;
}

std::string Option::str() const {
  std::string text = fmt::format("{}@{}", tactic->name(), tactic->version());
  for (const auto& [key, value] : config) text += fmt::format(" {}={}", key, ops::to_string(value));
  return text;
}

std::vector<Option> options(const Problem& problem, Effort effort) {
  std::vector<Option> out;
  if (sized_by_run(problem.node)) return out;
  for (const Tactic* tactic : all_tactics()) {
    if (tactic->device() != "cpu" && tactic->device() != problem.target.device) continue;
    if (!out.empty() && tactic->device() != out.front().tactic->device()) continue;
    if (!tactic->refuses(problem).empty()) continue;
    std::vector<Config> configs = tactic->configs(problem, effort);
    // The best guess of a tactic that is asked later is worth a try; its variants are for those who want everything.
    if (!out.empty() && effort != Effort::kExhaustive) configs.resize(1);
    for (Config& config : configs) out.push_back({tactic, std::move(config)});
  }
  return out;
}

Result<Choice> build(const Problem& problem, const Option& option) {
  auto candidate = option.tactic->build(problem, option.config);
  if (!candidate) return ir::at(&problem.node, std::move(candidate.error()));
  Choice choice{std::move(*candidate), option.tactic, std::string(option.tactic->name())};
  if (!choice.candidate.note.empty()) choice.note += ": " + choice.candidate.note;
  return choice;
}

Result<Choice> choose(const Problem& problem) {
  std::string reasons;
  const bool sized = !sized_by_run(problem.node);
  if (!sized) reasons = "the size of the result is known when the operator has run";
  for (const Tactic* tactic : all_tactics()) {
    if (!sized) break;
    if (tactic->device() != "cpu" && tactic->device() != problem.target.device) continue;
    const Refusal reason = tactic->refuses(problem);
    CARNOT_LOG(3, "tactic", "{} | {} | {}", problem.str(), tactic->name(), reason.empty() ? "accepts" : reason);
    if (!reason.empty()) {
      // A tactic for other operators says only its name's difference: not worth keeping.
      if (reason != "other operator") reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", tactic->name(), reason);
      continue;
    }
    return build(problem, {tactic, tactic->configs(problem, Effort::kHeuristic).front()});
  }
  Choice reference;
  reference.note = reasons.empty() ? "reference: no fast kernel for this operator" : "reference: " + reasons;
  if (problem.node.as<ops::Group>()) return reference;
  reference.candidate.kernel = fmt::format("ref:{}", problem.op().name());
  reference.candidate.params = problem.op().attrs();
  if (problem.op().info().pointwise) reference.candidate.in_place = (1u << problem.node.inputs.size()) - 1;
  for (size_t i = 0; i < problem.node.inputs.size(); ++i)
    reference.candidate.inputs.push_back(problem.node.inputs[i] ? Operand::of(i) : Operand::absent());
  return reference;
}

}  // namespace carnot::tactics
