// SPDX-License-Identifier: Apache-2.0
#include "passes/fuse_epilogues.hpp"

#include <algorithm>

#include "ops/pointwise.hpp"
#include "passes/support_group.hpp"
#include "passes/support_rewrite.hpp"

namespace carnot::passes {
namespace {

// What kernels apply to a finished sum: cpu::Activation, with these parameters.
bool is_activation(const ir::Node& node) {
  if (const auto* quick = node.as<ops::QuickGelu>()) return static_cast<float>(quick->alpha) == 1.702f;
  static constexpr std::string_view kNames[] = {"relu",       "leaky_relu",   "sigmoid", "silu",       "hard_swish",
                                                "hard_sigmoid", "tanh",         "gelu"};
  if (std::find(std::begin(kNames), std::end(kNames), node.op.name()) != std::end(kNames)) return true;
  if (node.op.name() != "clip") return false;
  for (size_t i = 1; i < node.inputs.size(); ++i)
    if (node.has(i) && !(node.in(i)->constant && node.in(i)->constant->size() == 1)) return false;
  return true;
}

// The other operand of an addition, null if the node is none.
ir::Value* addend(const ir::Node& node, const ir::Value* sum) {
  if (node.op.name() != "add" || node.in(0) == node.in(1)) return nullptr;
  return node.in(0) == sum ? node.in(1) : node.in(0);
}

// [N] or [1,N] next to [..., N].
bool is_bias(const ir::Value* v, const ir::Value* sum) {
  if (v->rank() < 1 || v->rank() > sum->rank() || !(v->shape().back() == sum->shape().back())) return false;
  return std::all_of(v->shape().begin(), v->shape().end() - 1, [](const Dim& d) { return d.is(1); }) && v->constant;
}

std::vector<ir::Node*> chain_from(ir::Node* anchor, bool is_matmul) {
  std::vector<ir::Node*> chain{anchor};
  bool bias = !is_matmul || anchor->op.name() == "gemm", residual = false, activation = false;
  ir::Value* sum = anchor->out();
  while (single_use(sum)) {
    ir::Node* next = sum->uses[0].node;
    if (!next->op.info().pointwise || !same_shape(next->out(), sum) || next->out()->dtype() != sum->dtype()) break;
    if (ir::Value* other = addend(*next, sum)) {
      if (!bias && !residual && !activation && is_bias(other, sum))
        bias = true;
      else if (!residual && same_shape(other, sum) && other->dtype() == sum->dtype())
        residual = true;
      else
        break;
    } else if (!activation && next->in(0) == sum && is_activation(*next)) {
      activation = true;
    } else {
      break;
    }
    chain.push_back(next);
    sum = next->out();
  }
  return chain;
}

}  // namespace

Result<bool> FuseEpilogues::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    std::vector<ir::Node*> anchors;
    for (ir::Node* node : g.node_list()) {
      const std::string_view name = node->op.name();
      if (name == "conv" || name == "conv_transpose" || name == "matmul" || name == "gemm") anchors.push_back(node);
    }
    // The last anchor takes a sum of two: what it adds is ready then, while an earlier one would have to wait.
    for (size_t i = anchors.size(); i-- > 0;) {
      const std::string_view name = anchors[i]->op.name();
      const bool is_matmul = name == "matmul" || name == "gemm";
      const std::vector<ir::Node*> chain = chain_from(anchors[i], is_matmul);
      if (chain.size() < 2) continue;
      CARNOT_RETURN_IF_ERROR(make_group(g, chain, is_matmul ? "matmul" : "conv"));
      changed = true;
    }
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(fuse_epilogues, FuseEpilogues)

}  // namespace carnot::passes
