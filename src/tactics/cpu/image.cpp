// SPDX-License-Identifier: Apache-2.0
// Pooling and resizing of channels-last f32 images.
#include <algorithm>
#include <cmath>

#include "ops/average_pool.hpp"
#include "ops/global_average_pool.hpp"
#include "ops/global_max_pool.hpp"
#include "ops/max_pool.hpp"
#include "ops/resize.hpp"
#include "tactics/attributes.hpp"

namespace carnot::tactics {
namespace {

class PoolTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cpu.pool"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    if (const auto* max = p.node.as<ops::MaxPool>()) {
      for (size_t i = 1; i < p.node.outputs.size(); ++i)
        if (!p.node.out(i)->uses.empty() || p.node.graph->is_output(p.node.out(i))) return "indices are asked for";
      return refuses_window(p, *max);
    }
    if (const auto* average = p.node.as<ops::AveragePool>()) return refuses_window(p, *average);
    return "other operator";
  }
  Result<Candidate> build(const Problem& p, const Config&) const override {
    if (const auto* max = p.node.as<ops::MaxPool>()) return candidate(*max, "max", 0);
    const auto& average = *p.node.as<ops::AveragePool>();
    return candidate(average, "average", average.count_include_pad);
  }

 private:
  template <typename Op>
  static Refusal refuses_window(const Problem& p, const Op& op) {
    if (p.in(0).dtype != DType::kF32) return "only f32";
    if (p.node.outputs.size() != 1) return "indices";
    if (op.layout != "nhwc") return "the layout is nchw";
    if (op.kernel_shape.size() > 3) return "more than three spatial axes";
    if (op.auto_pad != "NOTSET" && op.auto_pad != "VALID" && !op.auto_pad.empty()) return "SAME padding";
    if (std::any_of(op.pads.begin(), op.pads.end(), [](int64_t v) { return v < 0; })) return "negative pads";
    return {};
  }
  template <typename Op>
  static Candidate candidate(const Op& op, std::string kind, int64_t count_include_pad) {
    const size_t n = op.kernel_shape.size();
    return Candidate{.kernel = "cpu.pool",
                     .params = {{"kind", std::move(kind)}, {"kernel", op.kernel_shape}, {"strides", filled(op.strides, n, 1)}, {"dilations", filled(op.dilations, n, 1)},
                                {"pads", filled(op.auto_pad == "VALID" ? std::vector<int64_t>() : op.pads, 2 * n, 0)}, {"count_include_pad", count_include_pad}},
                     .inputs = {Operand::of(0)}};
  }
};

class GlobalPoolTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cpu.global_pool"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    const auto *average = p.node.as<ops::GlobalAveragePool>();
    const auto *max = p.node.as<ops::GlobalMaxPool>();
    if (!average && !max) return "other operator";
    if (p.in(0).dtype != DType::kF32) return "only f32";
    return (average ? average->layout : max->layout) == "nhwc" ? "" : "the layout is nchw";
  }
  Result<Candidate> build(const Problem& p, const Config&) const override {
    return Candidate{.kernel = "cpu.global_pool", .params = {{"kind", std::string(p.node.as<ops::GlobalMaxPool>() ? "max" : "average")}}, .inputs = {Operand::of(0)}};
  }
};

class ResizeTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cpu.resize"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    const auto* op = p.node.as<ops::Resize>();
    if (!op) return "other operator";
    if (p.in(0).dtype != DType::kF32) return "only f32";
    if (p.in(0).shape.size() != 4) return fmt::format("rank {}", p.in(0).shape.size());
    if (op->axes != std::vector<int64_t>{1, 2}) return "the resized axes are not 1 and 2 (channels-last)";
    if (op->coordinate_transformation_mode == "tf_crop_and_resize") return "cropping";
    if (op->keep_aspect_ratio_policy != "stretch") return "keep_aspect_ratio_policy";
    const bool sizes = p.node.has(3) && !p.in(3).shape[0].is(0);
    if (sizes ? !(p.node.in(3)->constant || p.in(3).values) : !p.constant(2)) return "scales or sizes are computed at run time";
    if (!sizes && op->coordinate_transformation_mode == "align_corners") {
      // The corners lie at in * scale - 1, which is no whole number for every size.
      const auto scales = to_doubles(p.constant(2)->view());
      if (!scales || std::any_of(scales->begin(), scales->end(), [](double v) { return v != std::floor(v); })) return "align_corners with a scale that is not whole";
    }
    if (op->antialias && (!sizes || !is_static(p.in(0).shape) || !is_static(p.out().shape))) return "antialias of a dynamic size";
    return {};
  }
  Result<Candidate> build(const Problem& p, const Config&) const override {
    const auto& op = *p.node.as<ops::Resize>();
    Candidate c{.kernel = "cpu.resize", .inputs = {Operand::of(0)}};
    c.params = {{"mode", op.mode}, {"coordinates", op.coordinate_transformation_mode}, {"nearest_mode", op.nearest_mode}, {"cubic_a", op.cubic_coeff_a},
                {"exclude_outside", op.exclude_outside}, {"antialias", op.antialias}};
    if (!(p.node.has(3) && !p.in(3).shape[0].is(0))) {
      CARNOT_ASSIGN(const std::vector<double> scales, to_doubles(p.constant(2)->view()));
      if (scales.size() != 2) return invalid("input 2 ('scales') has {} entries for 2 axes", scales.size());
      c.params.emplace_back("scale_rows", scales[0]);
      c.params.emplace_back("scale_cols", scales[1]);
    }
    return c;
  }
};

}  // namespace

CARNOT_TACTICS(cpu, image, PoolTactic, GlobalPoolTactic, ResizeTactic)

}  // namespace carnot::tactics
