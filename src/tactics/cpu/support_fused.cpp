// SPDX-License-Identifier: Apache-2.0
#include "tactics/cpu/support_fused.hpp"

#include <algorithm>
#include <limits>

#include "ops/group.hpp"
#include "ops/pointwise.hpp"

namespace carnot::tactics {
namespace {

int place_of(const ir::Graph& body, const ir::Value* v) {
  const auto& inputs = body.inputs();
  auto it = std::find(inputs.begin(), inputs.end(), v);
  return it == inputs.end() ? -1 : static_cast<int>(it - inputs.begin());
}

std::optional<double> scalar(const ir::Value* v) {
  if (!v || !v->constant || v->constant->size() != 1) return std::nullopt;
  auto values = to_doubles(v->constant->view());
  return values ? std::optional(values->front()) : std::nullopt;
}

// Whether the step is an activation that kernels apply; fills in its parameters.
bool read_activation(const ir::Node& step, Fused& fused) {
  const auto call = ops::pointwise_call(step.op);
  if (!call) return false;
  const PointwiseRow& row = pointwise_row(call->op);
  const std::string name(row.name);
  static const std::vector<std::string> plain = {"relu", "sigmoid", "silu", "tanh", "gelu", "gelu_tanh"};
  if (std::find(plain.begin(), plain.end(), name) != plain.end()) {
    fused.activation = name;
    return true;
  }
  if (name == "leaky_relu" || name == "hard_sigmoid") {
    fused.activation = name;
    fused.alpha = call->alpha;
    fused.beta = call->beta;
    return true;
  }
  if (name == "hard_swish") {
    fused.activation = name;
    fused.alpha = 1.0 / 6;
    fused.beta = 0.5;
    return true;
  }
  if (name == "quick_gelu" && static_cast<float>(call->alpha) == 1.702f) {
    fused.activation = name;
    return true;
  }
  if (name == "clip") {
    const auto low = step.has(1) ? scalar(step.in(1)) : -std::numeric_limits<double>::infinity();
    const auto high = step.has(2) ? scalar(step.in(2)) : std::numeric_limits<double>::infinity();
    if (!low || !high) return false;
    fused.activation = name;
    fused.alpha = *low;
    fused.beta = *high;
    return true;
  }
  return false;
}

// A vector over the last axis.
bool is_bias(const Shape& bias, const Shape& result) {
  if (bias.empty() || result.empty() || !(bias.back() == result.back())) return false;
  return std::all_of(bias.begin(), bias.end() - 1, [](const Dim& d) { return d.is(1); });
}

bool read_add(const ir::Graph& body, const ir::Node& step, const ir::Value* chain, Fused& fused) {
  if (step.op.name() != "add") return false;
  const ir::Value* other = step.in(0) == chain ? step.in(1) : step.in(0);
  const int place = place_of(body, other);
  if (place < 0) return false;
  if (other->shape() == step.out()->shape() && fused.residual < 0) {
    fused.residual = place;
    fused.residual_after = fused.activation != "none";
    return true;
  }
  if (fused.bias < 0 && fused.residual < 0 && fused.activation == "none" && other->dtype() == step.out()->dtype() && is_bias(other->shape(), step.out()->shape())) {
    fused.bias = place;
    return true;
  }
  return false;
}

}  // namespace

void Fused::add_params(Attrs& params) const {
  if (activation != "none") params.emplace_back("activation", activation);
  if (alpha != 0) params.emplace_back("alpha", alpha);
  if (beta != 0) params.emplace_back("beta", beta);
  if (residual_after) params.emplace_back("residual_after", int64_t{1});
}

uint32_t Fused::in_place(int64_t depth, size_t operand) const {
  // The result may take the residual's place where that is read before the first store: not where an activation is a second pass over
  // what was stored, and not where long sums are stored in parts (kernels/gemm/block.cpp would then give up the parts, which costs more
  // than the memory is worth).
  const bool at_store = !residual_after || activation == "none" || activation == "relu" || activation == "clip";
  return residual >= 0 && at_store && depth <= 1024 ? 1u << operand : 0;
}

bool is_half(DType dtype) { return dtype == DType::kF16 || dtype == DType::kBF16; }

Constant converted(const Constant& constant, DType to) {
  Constant out = Constant::allocate(to, constant.dims);
  convert_floats(constant.dtype, constant.data, to, out.mutable_data(), out.size());
  return out;
}

std::optional<Operand> bias_operand(const ir::Node& node, int place) {
  if (place < 0) return Operand::absent();
  const ir::Value* v = node.in(static_cast<size_t>(place));
  if (v->dtype() == DType::kF32) return Operand::of(static_cast<size_t>(place));
  if (!v->constant || !is_half(v->dtype())) return std::nullopt;
  return Operand::packed(converted(*v->constant, DType::kF32));
}

Fused read_fused(const ir::Node& node, std::string_view kind) {
  Fused fused;
  const auto* group = node.as<ops::Group>();
  if (!group) {
    fused.anchor = &node;
    for (size_t i = 0; i < node.inputs.size(); ++i) fused.anchor_inputs.push_back(node.inputs[i] ? static_cast<int>(i) : -1);
    return fused;
  }
  if (group->kind != kind) {
    fused.refusal = "other operator";
    return fused;
  }
  const ir::Graph& body = *node.bodies[0];
  const ir::Value* chain = nullptr;
  for (const auto& step : body.nodes()) {
    if (!fused.anchor) {
      fused.anchor = step.get();
      for (const ir::Value* v : step->inputs) fused.anchor_inputs.push_back(v ? place_of(body, v) : -1);
    } else if (std::find(step->inputs.begin(), step->inputs.end(), chain) == step->inputs.end() ||
               !(read_add(body, *step, chain, fused) || (fused.activation == "none" && !fused.residual_after && read_activation(*step, fused)))) {
      fused.refusal = fmt::format("step {} of the epilogue", step->op.str());
      return fused;
    }
    chain = step->out();
  }
  if (body.outputs().size() != 1 || body.outputs()[0] != chain) fused.refusal = "the group has other results than its last step";
  return fused;
}

}  // namespace carnot::tactics
