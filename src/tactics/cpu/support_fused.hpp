// SPDX-License-Identifier: Apache-2.0
// Reads a node that is an anchor (conv, matmul ...) alone, or a group of an anchor with its epilogue.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "tactics/tactic.hpp"

namespace carnot::tactics {

struct Fused {
  const ir::Node* anchor = nullptr;
  std::vector<int> anchor_inputs;  // for each operand of the anchor its place among the node's operands, -1 absent
  int bias = -1, residual = -1;    // places among the node's operands; bias only where the epilogue adds one
  bool residual_after = false;
  std::string activation = "none";
  double alpha = 0, beta = 0;
  Refusal refusal;  // not empty: the epilogue has another form

  // The anchor's operand as the outer graph knows it.
  const ir::Value* operand(const ir::Node& node, size_t i) const {
    return i < anchor_inputs.size() && anchor_inputs[i] >= 0 ? node.inputs[static_cast<size_t>(anchor_inputs[i])] : nullptr;
  }
  void add_params(Attrs& params) const;
  // Candidate::in_place for a matrix product whose sums are `depth` long and whose residual is operand `operand` of the command.
  uint32_t in_place(int64_t depth, size_t operand) const;
};

bool is_half(DType dtype);  // f16 or bf16
// The operand as f32: itself, or a constant of f16 or bf16 widened. Null: computed in f16 or bf16, which kernels do not take for a bias.
std::optional<Operand> bias_operand(const ir::Node& node, int place);
// Constants of f32 <-> f16, bf16.
Constant converted(const Constant& constant, DType to);

// `kind`: the group's kind that counts.
Fused read_fused(const ir::Node& node, std::string_view kind);

}  // namespace carnot::tactics
