// SPDX-License-Identifier: Apache-2.0
#include "compiler/compile.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "compiler/pipeline.hpp"
#include "compiler/plan_builder.hpp"
#include "ops/group.hpp"
#include "passes/support_precision.hpp"

namespace carnot::compiler {
namespace {

Status check_options(const BuildOptions& options) {
  if (options.device != "cpu") return fail(Code::kUnsupported, "device '{}' is not available in this build; use 'cpu'", options.device);
  if (!options.calibration.empty())
    return fail(Code::kUnsupported, "--calibration finds the scales of int8 and fp8, which this build does not offer yet; leave it out and use --precision fp16 or bf16");
  if (options.effort != "heuristic")
    return fail(Code::kUnsupported, "effort '{}' is not available in this build; use 'heuristic'", options.effort);
  return {};
}

// Input dims that a range fixes become constants; the others keep their symbols and admit any size.
Status apply_shapes(ir::Graph& graph, const std::map<std::string, ShapeRange>& shapes) {
  std::map<std::string, Dim, std::less<>> fixed;
  for (const auto& [name, range] : shapes) {
    const auto& inputs = graph.inputs();
    auto it = std::find_if(inputs.begin(), inputs.end(), [&, n = name](const ir::Value* v) { return v->name == n; });
    if (it == inputs.end()) {
      std::string list;
      for (const ir::Value* v : inputs) list += (list.empty() ? "'" : ", '") + v->name + "'";
      return invalid("--shape names input '{}', but the model's inputs are {}", name, list);
    }
    const Shape& shape = (*it)->shape();
    if (range.min.size() != shape.size() || range.opt.size() != shape.size() || range.max.size() != shape.size())
      return invalid("--shape {}: the input has shape {} (rank {}), the range has rank {}", name, to_string(shape), shape.size(), range.min.size());
    for (size_t a = 0; a < shape.size(); ++a) {
      if (range.min[a] < 0 || range.min[a] > range.opt[a] || range.opt[a] > range.max[a])
        return invalid("--shape {}: dimension {} needs 0 <= min <= opt <= max, got {}..{}..{}", name, a, range.min[a], range.opt[a], range.max[a]);
      if (shape[a].is_constant() && (range.min[a] != shape[a].value() || range.max[a] != shape[a].value()))
        return invalid("--shape {}: dimension {} of the model is {}, the range is {}..{}", name, a, shape[a].value(), range.min[a], range.max[a]);
      auto symbol = shape[a].as_symbol();
      if (!symbol || range.min[a] != range.max[a]) continue;
      auto [entry, first] = fixed.try_emplace(*symbol, Dim(range.min[a]));
      if (!first && !(entry->second == Dim(range.min[a])))
        return invalid("--shape {}: dimension '{}' is given two sizes, {} and {}", name, *symbol, entry->second.str(), range.min[a]);
    }
  }
  if (fixed.empty()) return {};
  for (ir::Value* v : graph.inputs())
    for (Dim& d : v->facts.shape) d = d.substitute(fixed);
  return graph.infer_all();
}

// Puts the nodes of a group's body in the place of the group.
Status inline_group(ir::Graph& graph, ir::Node* group) {
  const ir::Graph& body = *group->bodies[0];
  std::map<const ir::Value*, ir::Value*> map{{nullptr, nullptr}};
  for (size_t i = 0; i < body.inputs().size(); ++i) map[body.inputs()[i]] = group->inputs[i];
  for (const auto& v : body.values())
    if (v->constant) map[v.get()] = graph.add_constant(*v->constant, v->name);
  for (const auto& n : body.nodes()) {
    std::vector<ir::Value*> inputs;
    for (const ir::Value* v : n->inputs) inputs.push_back(map.at(v));
    std::vector<ops::ValueFacts> facts;
    for (const ir::Value* v : n->outputs) facts.push_back(v->facts);
    ir::Graph::NodeOptions options;
    options.where = n->where;
    options.before = group;
    ir::Node* copy = graph.add_unchecked(n->op, std::move(inputs), std::move(facts), std::move(options));
    for (size_t i = 0; i < n->outputs.size(); ++i) map[n->outputs[i]] = copy->outputs[i];
  }
  for (size_t i = 0; i < group->outputs.size(); ++i) graph.replace_uses(group->outputs[i], map.at(body.outputs()[i]));
  graph.erase(group);
  return {};
}

Status assign(ir::Graph& graph, Assignment& assignment, const std::function<Status()>& step) {
  for (size_t round = 0; round < 8; ++round) {
    bool again = false;
    for (ir::Node* node : graph.node_list()) {
      if (assignment.count(node)) continue;
      CARNOT_RETURN_IF_ERROR(step());
      CARNOT_ASSIGN(tactics::Choice choice, tactics::choose({*node}));
      if (choice.candidate.kernel.empty()) {
        CARNOT_RETURN_IF_ERROR(inline_group(graph, node));
        again = true;
        continue;
      }
      if (!choice.tactic)
        for (auto& body : node->bodies) CARNOT_RETURN_IF_ERROR(assign(*body, assignment, step));
      assignment.emplace(node, std::move(choice));
    }
    if (!again) return {};
  }
  return fail(Code::kInternal, "groups are nested too deeply");
}

// What the precision asked for became, for whoever inspects the engine. fp32 alone leaves no trace.
void record_precision(const passes::PrecisionSettings& settings, const passes::PrecisionReport& report, std::map<std::string, std::string>& build) {
  std::string layers, notes;
  if (settings.tf32) notes = "tf32 runs as fp32: the CPU has no such units";
  for (const passes::LayerRule& rule : settings.layers) layers += (layers.empty() ? "" : " ") + rule.text;
  for (const auto& [node, text] : report.notes) notes += fmt::format("{}'{}' {}", notes.empty() ? "" : "; ", node, text);
  if (!settings.asks_nothing()) build["casts"] = std::to_string(report.casts);
  if (!layers.empty()) build["layer_precision"] = layers;
  if (!notes.empty()) build["precision_notes"] = notes;
}

}  // namespace

Result<std::vector<std::byte>> compile(std::unique_ptr<ir::Graph> graph, const BuildOptions& options) {
  CARNOT_RETURN_IF_ERROR(check_options(options));
  CARNOT_RETURN_IF_ERROR(apply_shapes(*graph, options.shapes));
  const size_t nodes = graph->nodes().size();
  CARNOT_ASSIGN(const passes::PrecisionSettings precision, passes::parse_precision(options.precision, options.layer_precision));
  CARNOT_RETURN_IF_ERROR(passes::check_layer_rules(*graph, precision));
  passes::PrecisionReport precision_report;
  CARNOT_RETURN_IF_ERROR(run_pipeline(*graph, options, {.precision = &precision, .precision_report = &precision_report}));

  Assignment assignment;
  size_t done = 0;
  CARNOT_RETURN_IF_ERROR(assign(*graph, assignment, [&]() -> Status {
    ++done;
    if (options.progress && !options.progress("assign", 0.5 + 0.4 * std::min(1.0, static_cast<double>(done) / static_cast<double>(graph->nodes().size() + 1))))
      return fail(Code::kCancelled, "the build was cancelled");
    return {};
  }));
  CARNOT_RETURN_IF_ERROR(stop_here(*graph, options, "assign"));
  CARNOT_ASSIGN(BuiltProgram built, build_program(*graph, assignment));
  size_t reference = 0;
  for (const auto& plan : built.program.plans)
    for (const auto& command : plan.commands) reference += command.kernel.starts_with("ref:");
  built.program.build = {{"device", options.device}, {"precision", options.precision}, {"effort", options.effort}, {"source_nodes", std::to_string(nodes)}};
  record_precision(precision, precision_report, built.program.build);
  CARNOT_LOG(1, "build", "{} nodes -> {} commands, {} of them on the reference", nodes, built.program.plans[0].commands.size(), reference);
  if (options.progress && !options.progress("plan", 0.95)) return fail(Code::kCancelled, "the build was cancelled");
  return engine::write_bytes(built.program, built.constants);
}

}  // namespace carnot::compiler
