// SPDX-License-Identifier: Apache-2.0
#include "passes/explicit_pads.hpp"

#include <algorithm>

#include "ops/average_pool.hpp"
#include "ops/conv.hpp"
#include "ops/max_pool.hpp"

namespace carnot::passes {
namespace {

template <typename Op>
bool resolve(ir::Node* node, const Shape& kernel) {
  const Op* op = node->as<Op>();
  if (!op || op->auto_pad == "NOTSET" || op->auto_pad.empty()) return false;
  const Shape& x = node->in(0)->shape();
  const size_t spatial = kernel.size();
  if (x.size() != spatial + 2) return false;
  Op other = *op;
  other.auto_pad = "NOTSET";
  other.pads.assign(2 * spatial, 0);
  for (size_t i = 0; op->auto_pad != "VALID" && i < spatial; ++i) {
    const Dim& in = x[op->layout == "nhwc" ? i + 1 : i + 2];
    const int64_t stride = i < op->strides.size() ? op->strides[i] : 1, dilation = i < op->dilations.size() ? op->dilations[i] : 1;
    if (!kernel[i].is_constant() || (!in.is_constant() && stride != 1) || stride < 1) return false;
    // With a stride of 1 any size gives the same.
    const int64_t size = in.is_constant() ? in.value() : 1;
    const int64_t outputs = (size + stride - 1) / stride;
    const int64_t total = std::max<int64_t>((outputs - 1) * stride + (kernel[i].value() - 1) * dilation + 1 - size, 0);
    const int64_t less = total / 2, more = total - less;
    other.pads[i] = op->auto_pad == "SAME_LOWER" ? more : less;
    other.pads[spatial + i] = op->auto_pad == "SAME_LOWER" ? less : more;
  }
  node->op = ops::Operator(other);
  return true;
}

template <typename Op>
bool resolve_pool(ir::Node* node) {
  const Op* op = node->as<Op>();
  // SAME and ceil_mode round in their own ways.
  return op && op->ceil_mode == 0 && resolve<Op>(node, Shape(op->kernel_shape.begin(), op->kernel_shape.end()));
}

}  // namespace

Result<bool> ExplicitPads::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    for (const auto& owned : g.nodes()) {
      ir::Node* node = owned.get();
      if (node->as<ops::Conv>() && node->in(1)->rank() >= 2)
        changed |= resolve<ops::Conv>(node, Shape(node->in(1)->shape().begin() + 2, node->in(1)->shape().end()));
      else
        changed |= resolve_pool<ops::MaxPool>(node) || resolve_pool<ops::AveragePool>(node);
    }
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(explicit_pads, ExplicitPads)

}  // namespace carnot::passes
