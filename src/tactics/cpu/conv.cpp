// SPDX-License-Identifier: Apache-2.0
// Convolutions with constant weights on cpu.conv and cpu.conv_transpose.
#include "ops/conv.hpp"

#include <algorithm>

#include "backends/cpu/kernels/conv/conv.hpp"
#include "ops/conv_transpose.hpp"
#include "tactics/attributes.hpp"
#include "tactics/cpu/support_blocking.hpp"
#include "tactics/cpu/support_fused.hpp"

namespace carnot::tactics {
namespace {

// What both operators have in common, with pads in numbers.
struct Window {
  std::vector<int64_t> kernel, strides, dilations, pads;
  int64_t groups = 1;
  std::string layout;
};

template <typename Op>
Window window_of(const Op& op, const Constant& w) {
  Window window;
  window.kernel.assign(w.dims.begin() + 2, w.dims.end());
  const size_t n = window.kernel.size();
  window.strides = filled(op.strides, n, 1);
  window.dilations = filled(op.dilations, n, 1);
  window.pads = filled(op.pads, 2 * n, 0);
  window.groups = op.group;
  window.layout = op.layout;
  return window;
}

// SAME padding of a convolution in numbers, where the input's size is one.
Refusal resolve_auto_pad(const ops::Conv& op, const Shape& x, Window& window) {
  if (op.auto_pad == "NOTSET" || op.auto_pad.empty()) return {};
  const size_t n = window.kernel.size();
  window.pads.assign(2 * n, 0);
  if (op.auto_pad == "VALID") return {};
  for (size_t i = 0; i < n; ++i) {
    const Dim& d = x[1 + i];
    const int64_t extent = (window.kernel[i] - 1) * window.dilations[i] + 1;
    int64_t total = extent - 1;  // stride 1: whatever the size
    if (window.strides[i] != 1) {
      if (!d.is_constant()) return "SAME padding of a dynamic size with a stride";
      const int64_t out = (d.value() + window.strides[i] - 1) / window.strides[i];
      total = std::max<int64_t>(0, (out - 1) * window.strides[i] + extent - d.value());
    }
    const int64_t small = total / 2;
    window.pads[i] = op.auto_pad == "SAME_LOWER" ? total - small : small;
    window.pads[n + i] = total - window.pads[i];
  }
  return {};
}

// Depthwise: pixels of the width that a task takes at a time.
std::vector<Config> strip_configs(int64_t width) {
  std::vector<Config> out{Config{}};
  for (const int64_t strip : {14, 28, 56, 112, 1 << 20})
    if (strip < width || strip > 112 || width == 0) out.push_back({{"blocking", std::vector<int64_t>{0, 0, strip, 0}}});
  return out;
}

template <typename Op>
bool takes_winograd(const Op& op, const Dims& w) {
  auto ones = [](const std::vector<int64_t>& v) { return std::all_of(v.begin(), v.end(), [](int64_t i) { return i == 1; }); };
  return op.group == 1 && w.size() == 4 && w[2] == 3 && w[3] == 3 && w[1] >= 8 && ones(op.strides) && ones(op.dilations);
}

// F(4x4, 3x3) without timing, where it wins at one thread and at two: images that pay for reading four times the weights, channels that pay
// for the transforms. In memory the weights grow by no more than four times what the convolution reads and writes of one image.
template <typename Op>
bool prefers_winograd(const Op& op, const Dims& w, const Shape& y, DType dtype) {
  constexpr int64_t kFewestPixels = 600, kFewestChannels = 32, kGrowth = 4;
  if (dtype != DType::kF32 || !takes_winograd(op, w) || std::min(w[0], w[1]) < kFewestChannels) return false;
  // Layout nhwc. Sizes that only a run tells may be small.
  if (!y[1].is_constant() || !y[2].is_constant()) return false;
  const int64_t pixels = y[1].value() * y[2].value();
  return pixels >= kFewestPixels && (36 - 9) * w[0] * w[1] <= kGrowth * pixels * (w[0] + w[1]);
}

template <typename Op, bool kTransposed>
class ConvTactic final : public Tactic {
 public:
  std::string_view name() const override { return kTransposed ? "cpu.conv_transpose" : "cpu.conv"; }
  int priority() const override { return 100; }

  Refusal refuses(const Problem& problem) const override {
    const Fused fused = read_fused(problem.node, "conv");
    if (!fused.anchor || !fused.anchor->as<Op>()) return "other operator";
    if (!fused.refusal.empty()) return fused.refusal;
    const Op& op = *fused.anchor->as<Op>();
    const ir::Value *x = fused.operand(problem.node, 0), *w = fused.operand(problem.node, 1);
    if (!x || (x->dtype() != DType::kF32 && (kTransposed || !is_half(x->dtype())))) return kTransposed ? "only f32" : "only f32, f16 and bf16";
    if (!w || !w->constant) return "the weights are computed at run time";
    if (w->constant->size() == 0) return "no channels";
    if (x->rank() < 3 || x->rank() > 5) return fmt::format("{} spatial axes", x->rank() - 2);
    if (op.layout != "nhwc") return "the layout is nchw";
    if (fused.bias >= 0) return "a second bias";
    if (fused.anchor_inputs.size() > 2 && fused.anchor_inputs[2] < 0) return "the bias lies inside the group";
    if (fused.anchor_inputs.size() > 2 && !bias_operand(problem.node, fused.anchor_inputs[2])) return "the bias is computed at run time";
    Window window = window_of(op, *w->constant);
    if constexpr (kTransposed) {
      if (op.auto_pad != "NOTSET" || !op.output_shape.empty()) return "auto_pad or output_shape";
    } else {
      if (Refusal r = resolve_auto_pad(op, x->shape(), window); !r.empty()) return r;
    }
    if (std::any_of(window.pads.begin(), window.pads.end(), [](int64_t p) { return p < 0; })) return "negative pads";
    return {};
  }

  std::vector<Config> configs(const Problem& problem, Effort effort) const override {
    if (kTransposed) return {Config{}};
    const Fused fused = read_fused(problem.node, "conv");
    const Op& op = *fused.anchor->template as<Op>();
    const Dims& w = fused.operand(problem.node, 1)->constant->dims;
    const Shape& y = problem.out().shape;
    const DType dtype = problem.in(static_cast<size_t>(fused.anchor_inputs[0])).dtype;
    const bool winograd = prefers_winograd(op, w, y, dtype);
    if (effort == Effort::kHeuristic) return {winograd ? Config{{"way", "winograd4"}} : Config{}};
    const int64_t pixels = extent_at(problem, y, 0, y.size() - 1);
    if (op.group > 1 && w[1] == 1 && op.group == w[0]) return strip_configs(extent_at(problem, y, y.size() - 2, y.size() - 1));
    std::vector<Config> out = blocking_configs({pixels, w[0] / op.group, size_of(w) / std::max<int64_t>(w[0], 1)}, effort);
    if (op.group > 1 || w.back() == 1) return out;
    if (takes_winograd(op, w) && dtype == DType::kF32) {
      // Much faster or much slower, by the image's size; tiles of a task as the kernel likes them, few, many.
      for (const char* way : {"winograd2", "winograd4"})
        for (const int64_t tiles : {0, 24, 56}) {
          Config config{{"way", way}};
          if (tiles > 0) config.emplace_back("blocking", std::vector<int64_t>{0, 0, tiles, 0});
          const bool first = winograd && tiles == 0 && config[0].second == Attr("winograd4");
          out.insert(first ? out.begin() : out.begin() + 1, std::move(config));
        }
    }
    // In exchange for a copy of its rows the input is read in longer sums. Of few channels this is the kernel's own choice.
    const bool few = w[1] <= 8;
    if (few) out.insert(out.begin() + 1, Config{{"way", "points"}});
    for (const int64_t rows : {0, 100, 600}) {
      if (few && rows == 0) continue;
      Config bands{{"way", "bands"}};
      if (rows > 0) bands.emplace_back("blocking", std::vector<int64_t>{0, 0, rows, 0});
      out.insert(out.begin() + 1, std::move(bands));
    }
    return out;
  }

  Result<Candidate> build(const Problem& problem, const Config& config) const override {
    const Fused fused = read_fused(problem.node, "conv");
    const Op& op = *fused.anchor->template as<Op>();
    const ir::Value* x = fused.operand(problem.node, 0);
    const DType type = x->dtype();
    const Constant w = type == DType::kF32 ? *fused.operand(problem.node, 1)->constant : converted(*fused.operand(problem.node, 1)->constant, DType::kF32);
    Window window = window_of(op, w);
    if constexpr (!kTransposed) (void)resolve_auto_pad(op, x->shape(), window);
    cpu::Conv c;
    const size_t n = window.kernel.size();
    c.groups = window.groups;
    c.in_channels = kTransposed ? w.dims[0] : w.dims[1] * c.groups;
    c.out_channels = kTransposed ? w.dims[1] * c.groups : w.dims[0];
    for (size_t i = 0; i < n; ++i) {
      c.kernel[3 - n + i] = window.kernel[i];
      c.stride[3 - n + i] = window.strides[i];
      c.dilation[3 - n + i] = window.dilations[i];
    }
    const auto way = attr_or<std::string>(config, "way", "");
    if (way == "winograd2") c.way = cpu::Conv::Way::kWinograd2;
    if (way == "winograd4") c.way = cpu::Conv::Way::kWinograd4;
    Constant packed = Constant::allocate(DType::kF32, {kTransposed ? cpu::packed_transpose_weights_size(c) : cpu::packed_weights_size(c)});
    if constexpr (kTransposed)
      cpu::pack_transpose_weights(c, w.as<float>(), static_cast<float*>(packed.mutable_data()));
    else
      cpu::pack_weights(c, w.as<float>(), static_cast<float*>(packed.mutable_data()));
    if (type != DType::kF32 && cpu::conv_takes_half_weights(c)) packed = converted(packed, type);

    Candidate candidate;
    candidate.kernel = std::string(name());
    candidate.exact = !way.starts_with("winograd");
    candidate.params = {{"in_channels", c.in_channels}, {"out_channels", c.out_channels}, {"groups", c.groups}, {"kernel", window.kernel}, {"strides", window.strides},
                        {"dilations", window.dilations}, {"pads", std::vector<int64_t>(window.pads.begin(), window.pads.begin() + static_cast<std::ptrdiff_t>(n))}};
    fused.add_params(candidate.params);
    add_config(candidate.params, config);
    const int bias = fused.anchor_inputs.size() > 2 ? fused.anchor_inputs[2] : -1;
    candidate.inputs = {Operand::of(static_cast<size_t>(fused.anchor_inputs[0])), Operand::packed(std::move(packed)),
                        *bias_operand(problem.node, bias),
                        fused.residual >= 0 ? Operand::of(static_cast<size_t>(fused.residual)) : Operand::absent()};
    if (!kTransposed && c.groups == 1) candidate.in_place = fused.in_place(c.in_channels * c.kernel[0] * c.kernel[1] * c.kernel[2], 3);
    return candidate;
  }
};

using ConvForward = ConvTactic<ops::Conv, false>;
using ConvTransposed = ConvTactic<ops::ConvTranspose, true>;

}  // namespace

CARNOT_TACTICS(cpu, conv, ConvForward, ConvTransposed)

}  // namespace carnot::tactics
