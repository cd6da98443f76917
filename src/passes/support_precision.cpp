// SPDX-License-Identifier: Apache-2.0
#include "passes/support_precision.hpp"

#include <algorithm>
#include <set>

#include "base/text.hpp"

namespace carnot::passes {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

// An operator's name without case and underscores: LayerNormalization is layer_normalization.
std::string plain(std::string_view text) {
  std::string out = lower(text);
  out.erase(std::remove(out.begin(), out.end(), '_'), out.end());
  return out;
}

Result<DType> parse_type(const std::string& name, const std::string& option, bool* tf32) {
  if (name == "fp32") return DType::kF32;
  if (name == "fp16") return DType::kF16;
  if (name == "bf16") return DType::kBF16;
  if (name == "tf32") {
    *tf32 = true;
    return DType::kF32;
  }
  if (name == "int8" || name == "fp8")
    return fail(Code::kUnsupported, "{}: '{}' needs scales for every tensor, which this build cannot find yet; use fp16 or bf16, or a model with QuantizeLinear and DequantizeLinear", option, name);
  return invalid("{}: '{}' is no precision; use fp32, tf32, bf16 or fp16", option, name);
}

template <typename Fn>
void each_node(const ir::Graph& graph, const Fn& fn) {
  for (const auto& node : graph.nodes()) {
    fn(*node);
    for (const auto& body : node->bodies) each_node(*body, fn);
  }
}

// The names that come nearest to a glob, for "did you mean".
std::string near_names(const ir::Graph& graph, const LayerRule& rule) {
  std::set<std::string> names;
  each_node(graph, [&](const ir::Node& node) {
    if (rule.by_op)
      names.insert(node.where.type.empty() ? std::string(node.op.name()) : node.where.type);
    else
      names.insert(node.where.name.empty() ? node.out()->name : node.where.name);
  });
  std::string wanted = lower(rule.glob);
  wanted.erase(std::remove(wanted.begin(), wanted.end(), '*'), wanted.end());
  std::vector<std::pair<size_t, std::string>> ranked;
  for (const std::string& name : names) {
    const std::string candidate = lower(name);
    // A name that contains the text comes first, whatever its length.
    const bool inside = !wanted.empty() && candidate.find(wanted) != std::string::npos;
    ranked.emplace_back(inside ? 0 : edit_distance(wanted, candidate), name);
  }
  std::sort(ranked.begin(), ranked.end());
  std::string out;
  for (size_t i = 0; i < ranked.size() && i < 4; ++i) out += fmt::format("{}'{}'", i ? ", " : "", ranked[i].second);
  return out;
}

}  // namespace

bool glob_match(std::string_view glob, std::string_view text) {
  size_t g = 0, t = 0, star = std::string_view::npos, retry = 0;
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      retry = t;
    } else if (g < glob.size() && (glob[g] == '?' || glob[g] == text[t])) {
      ++g;
      ++t;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

bool LayerRule::matches(const ir::Node& node) const {
  if (by_op) {
    const std::string wanted = plain(glob);
    return glob_match(wanted, plain(node.op.name())) || glob_match(wanted, plain(node.where.type));
  }
  // A node that stands for several of the model has their names joined by '+'.
  std::string_view rest = node.where.name;
  while (!rest.empty()) {
    const size_t end = rest.find('+');
    if (glob_match(glob, rest.substr(0, end))) return true;
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
  if (glob_match(glob, node.where.name)) return true;
  return std::any_of(node.outputs.begin(), node.outputs.end(), [&](const ir::Value* v) {
    if (glob_match(glob, v->name)) return true;
    const auto& outputs = node.graph->outputs();
    const auto& names = node.graph->output_names();
    for (size_t i = 0; i < outputs.size() && i < names.size(); ++i)
      if (outputs[i] == v && glob_match(glob, names[i])) return true;
    return false;
  });
}

Result<PrecisionSettings> parse_precision(const std::string& network, const std::vector<std::string>& layers) {
  PrecisionSettings settings;
  CARNOT_ASSIGN(settings.network, parse_type(network, "--precision", &settings.tf32));
  for (const std::string& text : layers) {
    const std::string option = "--layer-precision " + text;
    // Names may hold colons, types do not.
    const size_t colon = text.rfind(':');
    if (colon == std::string::npos || colon == 0) return invalid("{}: give GLOB:TYPE, for example '/head/*:fp32' or 'op=Softmax:fp16'", option);
    LayerRule rule;
    rule.text = text;
    rule.glob = text.substr(0, colon);
    if (rule.glob.starts_with("op=")) {
      rule.by_op = true;
      rule.glob.erase(0, 3);
    }
    CARNOT_ASSIGN(rule.type, parse_type(text.substr(colon + 1), option, &settings.tf32));
    settings.layers.push_back(std::move(rule));
  }
  return settings;
}

Status check_layer_rules(const ir::Graph& graph, const PrecisionSettings& settings) {
  for (const LayerRule& rule : settings.layers) {
    bool found = false;
    each_node(graph, [&](const ir::Node& node) { found = found || rule.matches(node); });
    if (found) continue;
    const std::string near = near_names(graph, rule);
    return invalid("--layer-precision {}: no {} of the model matches '{}'{}", rule.text, rule.by_op ? "operator" : "node or result", rule.glob,
                   near.empty() ? "" : "; the nearest are " + near);
  }
  return {};
}

}  // namespace carnot::passes
