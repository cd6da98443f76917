// SPDX-License-Identifier: Apache-2.0
#include "passes/lower_quantize.hpp"

#include "ops/cast.hpp"
#include "ops/clip.hpp"
#include "ops/dequantize_linear.hpp"
#include "ops/pointwise.hpp"
#include "ops/quantize_linear.hpp"
#include "ops/support_quantize.hpp"
#include "passes/support_constants.hpp"
#include "passes/support_rewrite.hpp"

namespace carnot::passes {
namespace {

// The constant as f32 that broadcasts along `axis` of a tensor of this rank; none if it is no constant or has another form.
std::optional<Constant> along(const ir::Value* value, int64_t axis, size_t rank) {
  if (!value || !value->constant || value->constant->dims.size() > 1) return std::nullopt;
  const Constant& c = *value->constant;
  if (c.size() == 1) return from_doubles(DType::kF32, {}, doubles_of(c));
  const int64_t place = axis < 0 ? axis + static_cast<int64_t>(rank) : axis;
  if (place < 0 || place >= static_cast<int64_t>(rank)) return std::nullopt;
  Dims dims(rank - static_cast<size_t>(place), 1);
  dims[0] = c.size();
  return from_doubles(DType::kF32, dims, doubles_of(c));
}

struct Parameters {
  Constant scale;
  std::optional<Constant> zero;  // none: 0
};

template <typename Op>
std::optional<Parameters> parameters_of(const ir::Node* node, const Op& op) {
  if (op.block_size != 0 || node->in(1)->dtype() != DType::kF32) return std::nullopt;
  const size_t rank = node->in(0)->rank();
  auto scale = along(node->in(1), op.axis, rank);
  if (!scale) return std::nullopt;
  Parameters out{std::move(*scale), std::nullopt};
  if (!node->has(2)) return out;
  out.zero = along(node->in(2), op.axis, rank);
  if (!out.zero) return std::nullopt;
  if (scalar_of(node->in(2)) == 0.0) out.zero.reset();
  return out;
}

// Adds nodes one behind the other before `node`; `now` is null as soon as one was refused.
struct Chain {
  ir::Graph& graph;
  ir::Node* node;
  ir::Value* now;

  template <typename Op>
  void then(Op op, std::initializer_list<ir::Value*> more = {}) {
    if (!now) return;
    std::vector<ir::Value*> inputs{now};
    inputs.insert(inputs.end(), more);
    now = try_add(graph, ops::Operator(std::move(op)), std::move(inputs), node->where, node);
  }
};

ir::Value* lower(ir::Graph& graph, ir::Node* node) {
  if (const auto* q = node->as<ops::QuantizeLinear>(); q && node->in(0)->dtype() == DType::kF32) {
    auto p = parameters_of(node, *q);
    if (!p) return nullptr;
    const DType type = node->out(0)->dtype();
    const ops::IntRange range = ops::int_range(type);
    Chain chain{graph, node, node->in(0)};
    chain.then(ops::Div{}, {graph.add_constant(std::move(p->scale), "scale")});
    chain.then(ops::Round{});
    if (p->zero) chain.then(ops::Add{}, {graph.add_constant(std::move(*p->zero), "zero_point")});
    chain.then(ops::Clip{}, {add_scalar(graph, DType::kF32, range.low), add_scalar(graph, DType::kF32, range.high)});
    chain.then(ops::Cast{type});
    return chain.now;
  }
  if (const auto* dq = node->as<ops::DequantizeLinear>(); dq && node->out(0)->dtype() == DType::kF32) {
    auto p = parameters_of(node, *dq);
    // Wide numbers lose bits as floats before the zero point is taken off.
    if (!p || (p->zero && node->in(0)->dtype() == DType::kI32)) return nullptr;
    Chain chain{graph, node, node->in(0)};
    chain.then(ops::Cast{DType::kF32});
    if (p->zero) chain.then(ops::Sub{}, {graph.add_constant(std::move(*p->zero), "zero_point")});
    chain.then(ops::Mul{}, {graph.add_constant(std::move(p->scale), "scale")});
    return chain.now;
  }
  return nullptr;
}

}  // namespace

Result<bool> LowerQuantize::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    std::vector<ir::Node*> nodes;
    for (const auto& owned : g.nodes()) nodes.push_back(owned.get());
    for (ir::Node* node : nodes) {
      ir::Value* value = lower(g, node);
      if (!value) continue;
      g.replace_uses(node->out(0), value);
      erase_dead(g, node);
      changed = true;
    }
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(lower_quantize, LowerQuantize)

}  // namespace carnot::passes
