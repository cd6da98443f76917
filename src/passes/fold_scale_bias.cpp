// SPDX-License-Identifier: Apache-2.0
#include "passes/fold_scale_bias.hpp"

#include <algorithm>

#include "ops/conv.hpp"
#include "ops/gemm.hpp"
#include "ops/matmul.hpp"
#include "ops/pointwise.hpp"
#include "passes/support_constants.hpp"
#include "passes/support_rewrite.hpp"

namespace carnot::passes {
namespace {

struct Affine {
  std::vector<double> scale;  // empty: 1
  std::vector<double> shift;  // empty: 0
};

// How a linear node is laid out.
struct Linear {
  size_t channel_axis = 1;  // of the result
  int64_t channels = 0;
  size_t weight_inner = 0;  // consecutive weights that share an output channel
  bool transposed = false;  // conv_transpose: w is [in, out / groups, k...]
  int64_t groups = 1;
  bool bias = true;  // has a bias operand
};

std::optional<Linear> linear_of(const ir::Node* node) {
  if (node->inputs.size() < 2 || !node->has(0) || !node->has(1) || !is_float(node->in(1)->dtype())) return std::nullopt;
  const Shape& w = node->in(1)->shape();
  if (!is_static(w)) return std::nullopt;
  const Dims dims = to_dims(w);
  const size_t rank = node->out()->rank();
  Linear out;
  if (const auto* conv = node->as<ops::Conv>()) {
    out.channels = dims[0];
    out.channel_axis = conv->layout == "nhwc" ? rank - 1 : 1;
    out.weight_inner = dims[0] ? static_cast<size_t>(size_of(dims) / dims[0]) : 0;
    return out;
  }
  if (node->op.name() == "conv_transpose") {
    const Attrs attrs = node->op.attrs();
    out.groups = attr_or<int64_t>(attrs, "group", 1);
    out.channels = dims[1] * out.groups;
    out.channel_axis = attr_or<std::string>(attrs, "layout", "nchw") == "nhwc" ? rank - 1 : 1;
    out.weight_inner = static_cast<size_t>(size_of(Dims(dims.begin() + 2, dims.end())));
    out.transposed = true;
    return out;
  }
  if (const auto* gemm = node->as<ops::Gemm>()) {
    out.channels = dims[gemm->trans_b ? 0 : 1];
    out.weight_inner = gemm->trans_b ? static_cast<size_t>(dims[1]) : 1;
    return out;
  }
  if (node->as<ops::MatMul>()) {
    if (dims.size() != 2 || rank < 2) return std::nullopt;
    out.channels = dims[1];
    out.channel_axis = rank - 1;
    out.weight_inner = 1;
    out.bias = false;
    return out;
  }
  return std::nullopt;
}

// The constant operand of an affine node as scale and shift of what stands at operand `x`.
std::optional<Affine> affine_of(const ir::Node* node, size_t x, const Linear& linear, size_t rank) {
  const ir::Value* c = node->in(1 - x);
  auto values = per_channel(c, rank, linear.channel_axis, linear.channels);
  if (!values) return std::nullopt;
  const std::string_view name = node->op.name();
  if (name == "mul") return Affine{std::move(*values), {}};
  if (name == "add") return Affine{{}, std::move(*values)};
  if (name == "sub" && x == 1) return Affine{std::vector<double>(values->size(), -1.0), std::move(*values)};
  if (name == "sub" && x == 0) {
    for (double& v : *values) v = -v;
    return Affine{{}, std::move(*values)};
  }
  if (name == "div" && x == 0 && std::none_of(values->begin(), values->end(), [](double v) { return v == 0; })) {
    for (double& v : *values) v = 1 / v;
    return Affine{std::move(*values), {}};
  }
  return std::nullopt;
}

Constant scaled_weights(const Constant& w, const Linear& l, const std::vector<double>& scale) {
  std::vector<double> values = doubles_of(w);
  const auto out_per_group = static_cast<size_t>(l.channels / l.groups);
  const size_t in_per_group = l.transposed ? static_cast<size_t>(w.dims[0] / l.groups) : 1;
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t block = i / l.weight_inner;  // counts output channels, for conv_transpose [in, out / groups]
    size_t channel = block % static_cast<size_t>(l.channels);
    if (l.transposed) channel = block / out_per_group / in_per_group * out_per_group + block % out_per_group;
    values[i] *= scale[channel];
  }
  return from_doubles(w.dtype, w.dims, values);
}

// The bias operand as one number per channel; none if it is there and not constant.
std::optional<std::vector<double>> bias_of(const ir::Node* node, const Linear& l) {
  std::vector<double> bias(static_cast<size_t>(l.channels), 0.0);
  if (!node->has(2)) return bias;
  if (node->as<ops::Gemm>()) return per_channel(node->in(2), 2, 1, l.channels);
  if (!node->in(2)->constant) return std::nullopt;
  return doubles_of(*node->in(2)->constant);
}

bool fold(ir::Graph& g, ir::Node* node) {
  if (node->inputs.size() != 2 || !node->has(0) || !node->has(1) || !is_float(node->out()->dtype())) return false;
  for (size_t x : {0, 1}) {
    ir::Value* y = node->in(x);
    ir::Node* anchor = y->producer;
    if (!anchor || !single_use(y) || anchor->outputs.size() != 1) continue;
    const auto linear = linear_of(anchor);
    if (!linear || node->out()->rank() != y->rank()) continue;
    auto affine = affine_of(node, x, *linear, y->rank());
    if (!affine) continue;
    const DType dtype = y->dtype();
    const auto* gemm = anchor->as<ops::Gemm>();
    if (gemm && (gemm->alpha != 1 || gemm->beta != 1)) continue;  // made plain first
    if (!affine->scale.empty() && !anchor->in(1)->constant) continue;
    if (!linear->bias && !affine->shift.empty()) {
      // matmul of matrices: gemm has the bias operand.
      if (y->rank() != 2 || anchor->in(0)->rank() != 2 || !affine->scale.empty()) continue;
      ir::Value* c = g.add_constant(from_doubles(dtype, {linear->channels}, affine->shift), "bias");
      ir::Value* made = try_add(g, ops::Operator(ops::Gemm{}), {anchor->in(0), anchor->in(1), c}, join({node, anchor}), node);
      if (!made) continue;
      g.replace_uses(node->out(), made);
      const std::string name = node->out()->name;
      erase_dead(g, node);
      g.rename(made, name);
      return true;
    }
    std::optional<std::vector<double>> bias = linear->bias ? bias_of(anchor, *linear) : std::vector<double>{};
    if (!bias) continue;
    const bool had_bias = linear->bias && anchor->has(2);
    if (!affine->scale.empty()) {
      g.set_input(anchor, 1, g.add_constant(scaled_weights(*anchor->in(1)->constant, *linear, affine->scale), anchor->in(1)->name));
      for (size_t c = 0; c < bias->size(); ++c) (*bias)[c] *= affine->scale[c];
    }
    if (!affine->shift.empty())
      for (size_t c = 0; c < bias->size(); ++c) (*bias)[c] += affine->shift[c];
    if (had_bias || !affine->shift.empty()) {
      while (anchor->inputs.size() < 2) g.set_input(anchor, anchor->inputs.size(), nullptr);
      g.set_input(anchor, 2, g.add_constant(from_doubles(dtype, {linear->channels}, *bias), "bias"));
    }
    // The node is gone from here on; its name and place go to the anchor, unless operands of the anchor's users stood between.
    anchor->where = join({node, anchor});
    g.replace_uses(node->out(), y);
    const std::string name = node->out()->name;
    g.erase(node);
    g.rename(y, name);
    return true;
  }
  return false;
}

// alpha and transB into b, beta into c.
bool plain_gemm(ir::Graph& g, ir::Node* node) {
  const auto* gemm = node->as<ops::Gemm>();
  if (!gemm || !node->in(1)->constant || !is_float(node->out()->dtype())) return false;
  const bool has_c = node->has(2);
  if (has_c && gemm->beta != 1 && !node->in(2)->constant) return false;
  if (gemm->alpha == 1 && (gemm->beta == 1 || !has_c) && !gemm->trans_b) return false;
  ops::Gemm plain;
  plain.trans_a = gemm->trans_a;
  Constant b = *node->in(1)->constant;
  if (gemm->trans_b) b = transposed(b, {1, 0});
  if (gemm->alpha != 1) {
    std::vector<double> values = doubles_of(b);
    for (double& v : values) v *= gemm->alpha;
    b = from_doubles(b.dtype, b.dims, values);
  }
  g.set_input(node, 1, g.add_constant(std::move(b), node->in(1)->name));
  if (has_c && gemm->beta != 1) {
    const Constant& c = *node->in(2)->constant;
    std::vector<double> values = doubles_of(c);
    for (double& v : values) v *= gemm->beta;
    g.set_input(node, 2, g.add_constant(from_doubles(c.dtype, c.dims, values), node->in(2)->name));
  }
  node->op = ops::Operator(plain);
  return true;
}

}  // namespace

Result<bool> FoldScaleBias::run(ir::Graph& graph, PassContext&) const {
  bool changed = false;
  auto one = [&](ir::Graph& g) -> Status {
    for (ir::Node* node : g.node_list()) changed |= plain_gemm(g, node) || fold(g, node);
    return {};
  };
  CARNOT_RETURN_IF_ERROR(each_graph(graph, one));
  return changed;
}

CARNOT_DEFINE_PASS(fold_scale_bias, FoldScaleBias)

}  // namespace carnot::passes
