// SPDX-License-Identifier: Apache-2.0
// What the user asked of the precision of a network: one type for all of it, and rules for single layers.
//
//   CARNOT_ASSIGN(PrecisionSettings s, parse_precision("fp16", {"/head/*:fp32", "op=Softmax:fp16"}));
#pragma once
#include <map>
#include <string>
#include <vector>

#include "ir/graph.hpp"

namespace carnot::passes {

// A rule speaks of the nodes whose name in the source model, or the name of one of whose results, matches the glob (* any text, ? any
// character); with "op=" of those whose operator does, in the model's words or ours, upper and lower case alike. The last one wins.
struct LayerRule {
  std::string text;  // as given
  std::string glob;
  bool by_op = false;
  DType type = DType::kF32;

  bool matches(const ir::Node& node) const;
};

struct PrecisionSettings {
  DType network = DType::kF32;  // f32: what no rule names stays as the model has it
  bool tf32 = false;            // products may round their operands to 10 bits, where the device has such units
  // The device's attention, softmax, normalizations and means compute in f32 whatever their operands are: narrow operands cost them nothing.
  bool wide_inside = false;
  std::vector<LayerRule> layers;

  bool asks_nothing() const { return network == DType::kF32 && layers.empty(); }
};

// Types: fp32, tf32, bf16, fp16. The others that design knows (int8, fp8) are refused with the reason.
Result<PrecisionSettings> parse_precision(const std::string& network, const std::vector<std::string>& layers);

// Every rule must match a node of the model, bodies included; the error lists names that come near. To be asked before any pass, while
// the names are those of the model.
Status check_layer_rules(const ir::Graph& graph, const PrecisionSettings& settings);

// What the pass did, for the engine's build record.
struct PrecisionReport {
  size_t casts = 0;                          // nodes that were added
  std::map<std::string, std::string> notes;  // by node, one line each: what had to differ from the wish
};

bool glob_match(std::string_view glob, std::string_view text);

}  // namespace carnot::passes
