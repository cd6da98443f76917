// SPDX-License-Identifier: Apache-2.0
#include "passes/recognize_norms.hpp"

#include <algorithm>

#include "ops/group_normalization.hpp"
#include "ops/instance_normalization.hpp"
#include "ops/layer_normalization.hpp"
#include "ops/lp_normalization.hpp"
#include "ops/pointwise.hpp"
#include "ops/rms_normalization.hpp"
#include "ops/softmax.hpp"
#include "passes/support_constants.hpp"
#include "passes/support_rewrite.hpp"
#include "passes/support_views.hpp"

namespace carnot::passes {
namespace {

// The axis from which on a reduction folds everything; none if it folds other axes.
std::optional<int64_t> suffix_axis(const ir::Node* reduction) {
  const auto axes = kept_axes(reduction);
  if (!axes) return std::nullopt;
  const auto rank = static_cast<int64_t>(reduction->in(0)->rank());
  for (size_t i = 0; i < axes->size(); ++i)
    if ((*axes)[i] != rank - static_cast<int64_t>(axes->size() - i)) return std::nullopt;
  return (*axes)[0];
}

// A scale of ones for x's axes from `axis` on; null if they are not fixed.
ir::Value* ones(Rewrite& r, const ir::Value* x, int64_t axis) {
  const Shape part(x->shape().begin() + axis, x->shape().end());
  if (!is_static(part)) return nullptr;
  const Dims dims = to_dims(part);
  return r.graph().add_constant(from_doubles(x->dtype(), dims, std::vector<double>(static_cast<size_t>(size_of(dims)), 1.0)), "ones");
}

bool is_ones(const ir::Value* v) {
  const auto number = scalar_of(v);
  return number && *number == 1;
}

// w as an operand over the normalized axes: leading dims of 1 dropped, a scalar spread out; null if it varies along other axes.
ir::Value* over_axes(Rewrite& r, ir::Value* w, const ir::Value* like) {
  if (w->shape() == like->shape()) return w;
  if (!w->constant || w->dtype() != like->dtype()) return nullptr;
  const Dims dims = to_dims(like->shape());
  if (const auto number = scalar_of(w); number && w->constant->size() == 1)
    return r.graph().add_constant(from_doubles(w->dtype(), dims, std::vector<double>(static_cast<size_t>(size_of(dims)), *number)), w->name);
  Dims inner = w->constant->dims;
  while (inner.size() > dims.size() && inner.front() == 1) inner.erase(inner.begin());
  if (inner != dims) return nullptr;
  Constant c = *w->constant;
  c.dims = dims;
  return r.graph().add_constant(std::move(c), w->name);
}

// The vector of capture `k` as [C,1,...] next to the rows of channels of capture 0.
ir::Value* per_channel_of(Rewrite& r, int k) {
  Constant c = *r.value(k)->constant;
  c.dims = {c.size()};
  c.dims.insert(c.dims.end(), r.value(0)->rank() - 2, 1);
  return r.graph().add_constant(std::move(c), r.value(k)->name);
}

// instance_normalization of [n, groups, rest], made of x by a reshape and shaped back behind: group norm of x. Null if it is none.
ir::Value* group_norm_input(const ir::Node* instance) {
  const ir::Value* in = instance->in(0);
  if (instance->as<ops::InstanceNormalization>()->layout != "nchw" || in->rank() != 3 || !in->shape()[1].is_constant()) return nullptr;
  if (!in->producer || !is_reshape(in->producer) || !single_use(in) || !single_use(instance->out())) return nullptr;
  ir::Value* x = in->producer->in(0);
  const ir::Node* back = instance->out()->uses[0].node;
  if (!is_reshape(back) || !same_shape(back->out(), x) || x->rank() < 3 || !(x->shape()[0] == in->shape()[0])) return nullptr;
  const int64_t groups = in->shape()[1].value();
  if (!x->shape()[1].is_constant() || groups < 1 || x->shape()[1].value() % groups != 0) return nullptr;
  return x;
}

// The group norm with its scale and bias s and b per channel turned into s * factor and b * factor + offset; null where what is given is
// not per channel.
ir::Value* group_norm_with(Rewrite& r, const ir::Value* factor, const ir::Value* offset) {
  const auto* group = r.node(0)->as<ops::GroupNormalization>();
  const ir::Value* x = r.value(0);
  if (group->layout != "nchw" || !same_shape(r.root()->out(), x)) return nullptr;
  std::vector<double> scale = doubles_of(*r.value(1)->constant), bias = doubles_of(*r.value(2)->constant);
  const auto channels = static_cast<int64_t>(scale.size());
  const auto given = per_channel(factor ? factor : offset, x->rank(), 1, channels);
  if (!given) return nullptr;
  for (size_t c = 0; c < scale.size(); ++c) {
    if (factor) scale[c] *= (*given)[c];
    bias[c] = factor ? bias[c] * (*given)[c] : bias[c] + (*given)[c];
  }
  return r.make(*group, {r.value(0), r.graph().add_constant(from_doubles(x->dtype(), {channels}, scale), "scale"),
                         r.graph().add_constant(from_doubles(x->dtype(), {channels}, bias), "bias")});
}

// x / max(norm(x), epsilon)
ir::Value* l2_norm(Rewrite& r) {
  const auto axes = kept_axes(r.node(0));
  if (!axes || axes->size() != 1 || !(r.scalar(2) > 0)) return nullptr;
  return r.make(ops::LpNormalization{.axis = (*axes)[0], .epsilon = r.scalar(2)}, {r.value(0)});
}

// What stands at the place where x / sqrt(v + eps) may be written in four ways; capture 2 is eps.
Pattern normalized(const Pattern& x, const Pattern& variance) {
  const Pattern sum = op("add", {variance, scalar(2)});
  const Pattern root = op("sqrt", {sum});
  return one_of({op("div", {x, root}), op("mul", {x, op("reciprocal", {root})}), op("mul", {x, op("div", {number(1), root})}),
                 op("mul", {x, op("pow", {sum, number(-0.5)})})});
}

Pattern squared(const Pattern& x) { return one_of({op("pow", {x, number(2)}), op("mul", {x, x})}); }

std::vector<Rule> make_rules() {
  const Pattern x = any(0);
  const Pattern norm = one_of({reduction("reduce_l2", x, 0), op("sqrt", {reduction("reduce_sum", squared(x), 0)})});
  const Pattern at_least = one_of({op("max", {norm, scalar(2)}), op("clip", {norm, scalar(2)})});
  const Pattern group = op("group_normalization", {x, constant(1), constant(2)}, 0);
  const Pattern centred = op("sub", {x, reduction("reduce_mean", x, 0)});
  return {
      {normalized(centred, reduction("reduce_mean", squared(centred), 1)),
       [](Rewrite& r) -> ir::Value* {
         const auto axis = suffix_axis(r.node(0)), other = suffix_axis(r.node(1));
         if (!axis || axis != other) return nullptr;
         ops::LayerNormalization norm;
         norm.axis = *axis;
         norm.epsilon = r.scalar(2);
         return r.make(norm, {r.value(0), ones(r, r.value(0), *axis)});
       }},
      {normalized(x, reduction("reduce_mean", squared(x), 1)),
       [](Rewrite& r) -> ir::Value* {
         const auto axis = suffix_axis(r.node(1));
         if (!axis) return nullptr;
         ops::RmsNormalization norm;
         norm.axis = *axis;
         norm.epsilon = r.scalar(2);
         return r.make(norm, {r.value(0), ones(r, r.value(0), *axis)});
       }},
      {op("mul", {op("layer_normalization", {x, constant(1)}, 0), any(2)}),
       [](Rewrite& r) -> ir::Value* {
         if (!is_ones(r.value(1))) return nullptr;
         return r.make(*r.node(0)->as<ops::LayerNormalization>(), {r.value(0), over_axes(r, r.value(2), r.value(1))});
       }},
      {op("mul", {op("rms_normalization", {x, constant(1)}, 0), any(2)}),
       [](Rewrite& r) -> ir::Value* {
         if (!is_ones(r.value(1))) return nullptr;
         return r.make(*r.node(0)->as<ops::RmsNormalization>(), {r.value(0), over_axes(r, r.value(2), r.value(1))});
       }},
      {op("add", {op("layer_normalization", {x, any(1)}, 0), any(2)}),
       [](Rewrite& r) -> ir::Value* {
         if (!is_static(r.value(1)->shape())) return nullptr;
         return r.make(*r.node(0)->as<ops::LayerNormalization>(), {r.value(0), r.value(1), over_axes(r, r.value(2), r.value(1))});
       }},
      {op("instance_normalization", {x, constant(1), constant(2)}, 0),
       [](Rewrite& r) -> ir::Value* {
         const auto* instance = r.node(0)->as<ops::InstanceNormalization>();
         if (group_norm_input(r.node(0))) return nullptr;  // below
         if (instance->layout != "nchw" || r.value(0)->rank() < 3) return nullptr;
         ops::LayerNormalization norm;
         norm.axis = 2;
         norm.epsilon = instance->epsilon;
         ir::Value* y = r.make(norm, {r.value(0), ones(r, r.value(0), 2)});
         return r.make(ops::Add{}, {r.make(ops::Mul{}, {y, per_channel_of(r, 1)}), per_channel_of(r, 2)});
       }},
      {op("reshape", {op("instance_normalization", {op("reshape", {x, any(1)}), constant(2), constant(3)}, 0), any(4)}),
       [](Rewrite& r) -> ir::Value* {
         if (!group_norm_input(r.node(0))) return nullptr;
         ops::GroupNormalization norm;
         norm.num_groups = r.node(0)->in(0)->shape()[1].value();
         norm.epsilon = r.node(0)->as<ops::InstanceNormalization>()->epsilon;
         const int64_t channels = r.value(0)->shape()[1].value(), each = channels / norm.num_groups;
         ir::Value* affine[2];
         for (int i = 0; i < 2; ++i) {
           const std::vector<double> one = doubles_of(*r.value(2 + i)->constant);
           std::vector<double> all;
           for (double v : one) all.insert(all.end(), static_cast<size_t>(each), v);
           affine[i] = r.graph().add_constant(from_doubles(r.value(0)->dtype(), {channels}, all), r.value(2 + i)->name);
         }
         return r.make(norm, {r.value(0), affine[0], affine[1]});
       }},
      {op("mul", {group, any(3)}), [](Rewrite& r) { return group_norm_with(r, r.value(3), nullptr); }},
      {op("add", {group, any(3)}), [](Rewrite& r) { return group_norm_with(r, nullptr, r.value(3)); }},
      {op("div", {x, one_of({op("expand", {at_least, any(3)}), at_least})}), l2_norm},
      {op("div", {op("exp", {op("sub", {x, reduction("reduce_max", x, 0)})}, 1),
                  reduction("reduce_sum", op("exp", {op("sub", {x, reduction("reduce_max", x, 0)})}), 2)}),
       [](Rewrite& r) -> ir::Value* {
         const auto axes = kept_axes(r.node(0)), other = kept_axes(r.node(2));
         if (!axes || axes != other || axes->size() != 1) return nullptr;
         return r.make(ops::Softmax{(*axes)[0]}, {r.value(0)});
       }},
  };
}

}  // namespace

Result<bool> RecognizeNorms::run(ir::Graph& graph, PassContext&) const {
  static const auto* rules = new std::vector<Rule>(make_rules());
  return apply_rules(graph, *rules);
}

CARNOT_DEFINE_PASS(recognize_norms, RecognizeNorms)

}  // namespace carnot::passes
