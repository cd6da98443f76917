// SPDX-License-Identifier: Apache-2.0
// Pools and resizing, in either layout.
#include <algorithm>
#include <cmath>

#include "ops/average_pool.hpp"
#include "ops/max_pool.hpp"
#include "ops/resize.hpp"
#include "tactics/cuda/support_window.hpp"

namespace carnot::tactics {
namespace {
using namespace cuda;

class PoolTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.pool"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    if (!p.node.as<ops::MaxPool>() && !p.node.as<ops::AveragePool>()) return "other operator";
    if (storage_type(p.in(0).dtype).empty()) return "dtype";
    if (p.node.as<ops::MaxPool>() && !is_float(p.in(0).dtype)) return "max of integers";
    for (size_t i = 1; i < p.node.outputs.size(); ++i)
      if (!p.node.out(i)->uses.empty() || p.node.graph->is_output(p.node.out(i))) return "indices are asked for";
    return {};
  }

  Result<Candidate> build(const Problem& p, const Config&) const override {
    const auto* max = p.node.as<ops::MaxPool>();
    const auto* average = p.node.as<ops::AveragePool>();
    Kernel k(p);
    k.input("x", 0);
    k.output("y");
    for (size_t i = 1; i < p.node.outputs.size(); ++i) k.output("indices");
    const Window w = max ? make_window({max->layout, max->auto_pad, max->kernel_shape, max->strides, max->pads, max->dilations}, k.in_shape(0), k.out_shape())
                         : make_window({average->layout, average->auto_pad, average->kernel_shape, average->strides, average->pads, average->dilations}, k.in_shape(0), k.out_shape());
    const DType t = p.in(0).dtype;
    const std::string type = compute_type(t), store = storage_type(t);
    const Shape out = k.out_shape();
    const Dim total = size_of(out);
    // Channels-last: a few channels a thread.
    int64_t lanes = w.last && w.channels.is_constant() ? std::max<int64_t>(1, 8 / static_cast<int64_t>(dtype_size(t))) : 1;
    while (lanes > 1 && w.channels.value() % lanes != 0) lanes /= 2;
    Shape space = out;
    if (lanes > 1) space.back() = w.channels.value() / lanes;
    k.body = fmt::format("  const I e = (I)blockIdx.x * 128 + (I)threadIdx.x;\n  if (e >= {}) return;\n", k.value(size_of(space))) + unravel(k, "e", space, "p");
    const size_t channel = w.last ? w.rank() + 1 : 1, first = w.last ? 1 : 2;
    k.body += fmt::format("  const bool wide = aligned<{}>(x) && aligned<{}>(y);\n  {} acc[{}];\n#pragma unroll\n  for (int j = 0; j < {}; ++j) acc[j] = {};\n  int inner = 0, padded = 0;\n", lanes, lanes, type, lanes, lanes,
                          max ? fmt::format("-({})INFINITY", type) : "0");
    std::string close;
    k.body += open_taps(w, &close);
    std::vector<std::string> o, tap;
    for (size_t a = 0; a < w.rank(); ++a) o.push_back(fmt::format("p{}", a + first)), tap.push_back(fmt::format("t{}", a));
    k.body += "    " + positions(k, w, "", o, tap);
    if (average && average->count_include_pad) {
      std::string in_padding;
      for (size_t a = 0; a < w.rank(); ++a) in_padding += fmt::format("{}i{} < {}", a ? " && " : "", a, k.value(w.in[a] + w.pads_end[a]));
      k.body += fmt::format("    padded += {};\n", in_padding);
    }
    std::string at = fmt::format("p0 * {} + p{} * {}", k.value(w.channels * size_of(w.in)), channel, w.last ? fmt::format("{}", lanes) : k.value(w.in_channel_stride()));
    const Shape steps = w.in_strides();
    for (size_t a = 0; a < w.rank(); ++a) at += fmt::format(" + i{} * {}", a, k.value(steps[a]));
    k.body += fmt::format("    if (!inside) continue;\n    ++inner;\n    const auto* from = x + {};\n    Pack<{}, {}> v;\n    if (wide) v = load<{}>(from);\n    else for (int j = 0; j < {}; ++j) v.v[j] = from[j];\n#pragma unroll\n    for (int j = 0; j < {}; ++j) {{\n      const {} value = up(v.v[j]);\n      {}\n    }}\n",
                          at, store, lanes, lanes, lanes, lanes, type, max ? "if (value > acc[j]) acc[j] = value;" : "acc[j] += value;");
    k.body += close;
    std::string result = "acc[j]";
    if (average) result = fmt::format("({} > 0 ? acc[j] / ({}){} : ({})0)", average->count_include_pad ? "padded" : "inner", type, average->count_include_pad ? "padded" : "inner", type);
    k.body += fmt::format("  Pack<{}, {}> result;\n#pragma unroll\n  for (int j = 0; j < {}; ++j) result.v[j] = down<{}>({});\n  if (wide) store<{}>(y + e * {}, result);\n  else for (int j = 0; j < {}; ++j) y[e * {} + j] = result.v[j];\n", store, lanes, lanes, store,
                          result, lanes, lanes, lanes, lanes);
    return k.finish("pool", {.x = Dim::ceildiv(size_of(space), 128), .threads = 128});
  }
};

class ResizeTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.resize"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    const auto* op = p.node.as<ops::Resize>();
    if (!op) return "other operator";
    if (storage_type(p.in(0).dtype).empty() || (op->mode != "nearest" && !is_float(p.in(0).dtype))) return "dtype";
    if (op->coordinate_transformation_mode == "tf_crop_and_resize") return "cropping";
    if (op->keep_aspect_ratio_policy != "stretch") return "keep_aspect_ratio_policy";
    if (op->antialias && op->mode != "nearest") return "antialias";
    const bool sizes = p.node.has(3) && !p.in(3).shape[0].is(0);
    if (!sizes && !p.constant(2)) return "the scales are computed at run time";
    return {};
  }

  Result<Candidate> build(const Problem& p, const Config&) const override {
    const auto& op = *p.node.as<ops::Resize>();
    Kernel k(p);
    k.input("x", 0);
    k.output("y");
    const Shape x = k.in_shape(0), y = k.out_shape(), strides = strides_of(x);
    std::vector<double> scales(x.size(), 0);  // 0: from the sizes
    std::vector<int64_t> axes = op.axes;
    if (axes.empty())
      for (size_t i = 0; i < x.size(); ++i) axes.push_back(static_cast<int64_t>(i));
    if (!(p.node.has(3) && !p.in(3).shape[0].is(0))) {
      CARNOT_ASSIGN(const auto given, to_doubles(p.constant(2)->view()));
      for (size_t i = 0; i < axes.size(); ++i) scales[static_cast<size_t>(*normalize_axis(axes[i], x.size()))] = given[i];
    }
    std::vector<bool> named(x.size(), false);
    for (const int64_t a : axes) named[static_cast<size_t>(*normalize_axis(a, x.size()))] = true;
    const DType t = p.in(0).dtype;
    const bool nearest = op.mode == "nearest", cubic = op.mode == "cubic";
    const int taps = nearest ? 1 : cubic ? 4 : 2;
    const std::string type = t == DType::kF64 ? "double" : "float", store = storage_type(t);
    // Elements along a last axis that stays as it is share places and weights.
    const bool kept = !named.back() || (x.back() == y.back() && (scales.back() == 0 || scales.back() == 1));
    int64_t lanes = !kept ? 1 : x.back().is_constant() ? 16 / static_cast<int64_t>(dtype_size(t)) : 1;
    while (lanes > 1 && x.back().value() % lanes != 0) lanes /= 2;
    Shape space = y;
    if (lanes > 1) space.back() = Dim(x.back().value() / lanes);
    k.body = fmt::format("  const I e = (I)blockIdx.x * 128 + (I)threadIdx.x;\n  if (e >= {}) return;\n", k.value(size_of(space))) + unravel(k, "e", space, "p");
    std::string base = "0", loops, close, at, weight;
    for (size_t a = 0; a < x.size(); ++a) {
      const std::string stride = k.value(strides[a]), in = k.value(x[a]), out = k.value(y[a]);
      if (!named[a] || (x[a] == y[a] && (scales[a] == 0 || scales[a] == 1))) {
        base += fmt::format(" + p{} * {}", a, a + 1 == x.size() ? fmt::format("{}", lanes) : stride);
        continue;
      }
      const std::string scale = scales[a] == 0 ? fmt::format("((double){} / (double){})", out, in) : literal(scales[a], "double");
      k.body += fmt::format("  I index{}[{}];\n  {} weight{}[{}];\n  {{\n    const double o = (double)p{}, in = (double){}, out = (double){}, scale = {};\n    const double c = {};\n", a, taps, type, a, taps, a, in, out, scale,
                            coordinate(op.coordinate_transformation_mode));
      if (nearest) {
        const std::string rounded = op.nearest_mode == "floor" ? "floor(c)" : op.nearest_mode == "ceil" ? "ceil(c)" : op.nearest_mode == "round_prefer_ceil" ? "floor(c + 0.5)" : "ceil(c - 0.5)";
        k.body += fmt::format("    const double r = {};\n    index{}[0] = r < 0 ? 0 : r > in - 1 ? (I)(in - 1) : (I)r;\n    weight{}[0] = 1;\n", rounded, a, a);
      } else {
        k.body += fmt::format("    const double first = floor(c) - {};\n    double sum = 0, w[{}];\n#pragma unroll\n    for (int t = 0; t < {}; ++t) {{\n      const double at = first + t, d = fabs(at - c);\n      w[t] = {};\n", cubic ? 1 : 0, taps, taps,
                              cubic ? fmt::format("d <= 1 ? (({} * d - {}) * d) * d + 1 : d < 2 ? (({} * d - {}) * d + {}) * d - {} : 0.0", literal(op.cubic_coeff_a + 2, "double"), literal(op.cubic_coeff_a + 3, "double"), literal(op.cubic_coeff_a, "double"),
                                                  literal(5 * op.cubic_coeff_a, "double"), literal(8 * op.cubic_coeff_a, "double"), literal(4 * op.cubic_coeff_a, "double"))
                                    : "d < 1 ? 1 - d : 0.0");
        if (op.exclude_outside) k.body += "      if (at < 0 || at >= in) w[t] = 0;\n";
        k.body += fmt::format("      sum += w[t];\n      index{}[t] = at < 0 ? 0 : at > in - 1 ? (I)(in - 1) : (I)at;\n    }}\n#pragma unroll\n    for (int t = 0; t < {}; ++t) weight{}[t] = ({})({});\n", a, taps, a, type, op.exclude_outside ? "sum != 0 ? w[t] / sum : w[t]" : "w[t]");
      }
      k.body += "  }\n";
      loops += fmt::format("#pragma unroll\n  for (int u{} = 0; u{} < {}; ++u{}) {{\n", a, a, taps, a);
      close += "  }\n";
      at += fmt::format(" + index{}[u{}] * {}", a, a, stride);
      weight += fmt::format("{}weight{}[u{}]", weight.empty() ? "" : " * ", a, a);
    }
    k.body += fmt::format("  const I base = {};\n", base);
    if (nearest) {
      std::string plain = at;
      for (size_t a = 0; a < x.size(); ++a) {
        const std::string u = fmt::format("[u{}]", a);
        if (const size_t found = plain.find(u); found != std::string::npos) plain.replace(found, u.size(), "[0]");
      }
      k.body += fmt::format("  const auto* from = x + base{};\n  if (aligned<{}>(x) && aligned<{}>(y)) store<{}>(y + e * {}, load<{}>(from));\n  else for (int j = 0; j < {}; ++j) y[e * {} + j] = from[j];\n", plain, lanes, lanes, lanes, lanes, lanes, lanes, lanes);
    } else {
      k.body += fmt::format("  const bool wide = aligned<{}>(x) && aligned<{}>(y);\n  {} sums[{}];\n#pragma unroll\n  for (int j = 0; j < {}; ++j) sums[j] = 0;\n{}    const auto* from = x + base{};\n    const {} weight = {};\n    Pack<{}, {}> v;\n    if (wide) v = load<{}>(from);\n"
                            "    else for (int j = 0; j < {}; ++j) v.v[j] = from[j];\n#pragma unroll\n    for (int j = 0; j < {}; ++j) sums[j] += weight * ({})up(v.v[j]);\n{}", lanes, lanes, type, lanes, lanes, loops, at, type, weight.empty() ? "1" : weight, store, lanes, lanes, lanes, lanes, type, close);
      k.body += fmt::format("  Pack<{}, {}> result;\n#pragma unroll\n  for (int j = 0; j < {}; ++j) result.v[j] = down<{}>(sums[j]);\n  if (wide) store<{}>(y + e * {}, result);\n  else for (int j = 0; j < {}; ++j) y[e * {} + j] = result.v[j];\n", store, lanes, lanes, store, lanes, lanes, lanes, lanes);
    }
    return k.finish("resize", {.x = Dim::ceildiv(size_of(space), 128), .threads = 128});
  }

 private:
  static std::string coordinate(const std::string& mode) {
    if (mode == "asymmetric") return "o / scale";
    if (mode == "align_corners") return "out == 1 ? 0.0 : o * (in - 1) / (in * scale - 1)";
    if (mode == "pytorch_half_pixel") return "out > 1 ? (o + 0.5) / scale - 0.5 : 0.0";
    if (mode == "tf_half_pixel_for_nn") return "(o + 0.5) / scale";
    if (mode == "half_pixel_symmetric") return "in / 2 * (1 - out / (scale * in)) + (o + 0.5) / scale - 0.5";
    return "(o + 0.5) / scale - 0.5";
  }
};

}  // namespace

CARNOT_TACTICS(cuda, image, PoolTactic, ResizeTactic)

}  // namespace carnot::tactics
