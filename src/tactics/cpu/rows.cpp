// SPDX-License-Identifier: Apache-2.0
// softmax, log_softmax, layer_normalization, rms_normalization, lp_normalization and reductions of f32 on the row kernels.
#include "ops/layer_normalization.hpp"
#include "ops/log_softmax.hpp"
#include "ops/lp_normalization.hpp"
#include "ops/reduce.hpp"
#include "ops/rms_normalization.hpp"
#include "ops/softmax.hpp"
#include "tactics/attributes.hpp"

namespace carnot::tactics {
namespace {

class SoftmaxTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cpu.softmax"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    if (!p.node.as<ops::Softmax>() && !p.node.as<ops::LogSoftmax>()) return "other operator";
    return p.in(0).dtype == DType::kF32 && !p.in(0).shape.empty() ? "" : "only f32 of rank 1 or more";
  }
  Result<Candidate> build(const Problem& p, const Config&) const override {
    const auto* log = p.node.as<ops::LogSoftmax>();
    Candidate c{.kernel = "cpu.softmax", .params = {{"axis", log ? log->axis : p.node.as<ops::Softmax>()->axis}}, .inputs = {Operand::of(0)}};
    if (log) c.params.emplace_back("log", int64_t{1});
    c.in_place = 1;
    return c;
  }
};

class NormTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cpu.layer_norm"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    const auto* layer = p.node.as<ops::LayerNormalization>();
    const auto* rms = p.node.as<ops::RmsNormalization>();
    if (!layer && !rms) return "other operator";
    if (p.in(0).dtype != DType::kF32) return "only f32";
    if (layer)
      for (size_t i = 1; i < p.node.outputs.size(); ++i)
        if (!p.node.out(i)->uses.empty() || p.node.graph->is_output(p.node.out(i))) return "mean or inv_std_dev is asked for";
    // Scale and bias must cover the normalised dims whole, without broadcasting.
    auto axis = normalize_axis(layer ? layer->axis : rms->axis, p.in(0).shape.size());
    if (!axis) return "the axis";
    const Shape rest(p.in(0).shape.begin() + *axis, p.in(0).shape.end());
    for (size_t i = 1; i < p.node.inputs.size(); ++i)
      if (p.node.has(i) && !(size_of(p.in(i).shape) == size_of(rest))) return "scale or bias is broadcast";
    return {};
  }
  Result<Candidate> build(const Problem& p, const Config&) const override {
    const auto* layer = p.node.as<ops::LayerNormalization>();
    const auto* rms = p.node.as<ops::RmsNormalization>();
    Candidate c{.kernel = "cpu.layer_norm", .params = {{"axis", layer ? layer->axis : rms->axis}, {"epsilon", layer ? layer->epsilon : rms->epsilon}}};
    if (rms) c.params.emplace_back("rms", int64_t{1});
    for (size_t i = 0; i < p.node.inputs.size(); ++i) c.inputs.push_back(p.node.has(i) ? Operand::of(i) : Operand::absent());
    c.in_place = 1;
    return c;
  }
};

class L2NormTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cpu.l2_norm"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    const auto* norm = p.node.as<ops::LpNormalization>();
    if (!norm) return "other operator";
    if (norm->p != 2) return "a sum of magnitudes";
    return p.in(0).dtype == DType::kF32 ? "" : "only f32";
  }
  Result<Candidate> build(const Problem& p, const Config&) const override {
    const auto* norm = p.node.as<ops::LpNormalization>();
    return Candidate{.kernel = "cpu.l2_norm", .params = {{"axis", norm->axis}, {"epsilon", norm->epsilon}}, .inputs = {Operand::of(0)}, .in_place = 1};
  }
};

class ReduceTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cpu.reduce"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    if (!p.op().name().starts_with("reduce_")) return "other operator";
    if (p.in(0).dtype != DType::kF32) return "only f32";
    const auto axes = reduced_axes(p);
    if (!axes) return "the axes are computed at run time";
    return axes->empty() && !p.in(0).shape.empty() ? "it folds no axis" : "";
  }
  Result<Candidate> build(const Problem& p, const Config&) const override {
    return Candidate{.kernel = "cpu.reduce", .params = {{"kind", std::string(p.op().name().substr(7))}, {"axes", *reduced_axes(p)}}, .inputs = {Operand::of(0)}};
  }
};

}  // namespace

CARNOT_TACTICS(cpu, rows, SoftmaxTactic, NormTactic, L2NormTactic, ReduceTactic)

}  // namespace carnot::tactics
