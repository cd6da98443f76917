// SPDX-License-Identifier: Apache-2.0
// layer_normalization, rms_normalization, group_normalization, instance_normalization, batch_normalization.
#include <algorithm>

#include "ops/batch_normalization.hpp"
#include "ops/group_normalization.hpp"
#include "ops/instance_normalization.hpp"
#include "ops/layer_normalization.hpp"
#include "ops/rms_normalization.hpp"
#include "tactics/cuda/support_rows.hpp"
#include "tactics/cuda/support_text.hpp"

namespace carnot::tactics {
namespace {
using namespace cuda;

std::string compute_of(const Problem& p) { return p.in(0).dtype == DType::kF64 ? "double" : "float"; }

bool all_floats(const Problem& p) {
  for (size_t i = 0; i < p.node.inputs.size(); ++i)
    if (p.node.has(i) && !is_float(p.in(i).dtype)) return false;
  return true;
}

// Mean and inverse deviation of each row, then y = (x - mean) * inverse * scale + bias. `affine` makes the expression of the last step
// from that of the normalised value; for the element numbered f of row `row`.
struct Normalize {
  Kernel& k;
  Rows rows;
  std::string type;
  double epsilon = 0;
  bool rms = false;

  std::string root() const { return type == "double" ? "rsqrt" : "rsqrtf"; }
  // The two numbers from sums; squares are of differences from the mean, so that nothing cancels.
  std::string finish_mean() const { return fmt::format("  mean /= ({}){};\n", type, k.value(rows.length)); }
  std::string finish_variance() const {
    return fmt::format("  const {} inverse = {}(var / ({}){} + {});\n", type, root(), type, k.value(rows.length), literal(epsilon, type));
  }

  std::string walk(const std::string& store, const std::string& affine) const {
    auto loop = [&](const std::string& body) {
      return fmt::format("  for (I f = lane; f < length; f += kGroup) {{\n{}    const {} v = up(x[base + {}]);\n    {}\n  }}\n", rows.step(k), type, rows.at(k), body);
    };
    std::string text = rows.head(k) + fmt::format("  {} mean = 0, var = 0;\n", type);
    if (!rms) text += loop("mean += v;") + rows.fold("mean", "Sum", fmt::format("({})0", type)) + finish_mean();
    text += loop("var += (v - mean) * (v - mean);") + rows.fold("var", "Sum", fmt::format("({})0", type)) + finish_variance();
    return text + loop(fmt::format("const {} n = (v - mean) * inverse;\n    y[base + {}] = down<{}>({});", type, rows.at(k), store, affine));
  }
};

class LayerNormTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.layer_norm"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    if (!p.node.as<ops::LayerNormalization>() && !p.node.as<ops::RmsNormalization>()) return "other operator";
    return all_floats(p) ? "" : "no float";
  }

  Result<Candidate> build(const Problem& p, const Config&) const override {
    const auto* layer = p.node.as<ops::LayerNormalization>();
    const auto* root = p.node.as<ops::RmsNormalization>();
    const DType t = p.in(0).dtype;
    const auto axis = static_cast<size_t>(*normalize_axis(layer ? layer->axis : root->axis, p.in(0).shape.size()));
    Kernel k(p);
    const char* names[] = {"x", "scale", "bias"};
    for (size_t i = 0; i < p.node.inputs.size(); ++i) k.input(names[i], i);
    const char* results[] = {"y", "mean_out", "inverse_out"};
    for (size_t i = 0; i < p.node.outputs.size(); ++i) k.output(results[i]);
    k.helper("reductions", std::string(text_of_reductions()));
    std::vector<bool> folded(p.in(0).shape.size(), false);
    std::fill(folded.begin() + static_cast<std::ptrdiff_t>(axis), folded.end(), true);
    const Shape rest = k.shape(Shape(p.in(0).shape.begin() + static_cast<std::ptrdiff_t>(axis), p.in(0).shape.end()));
    Normalize n{k, Rows(k.in_shape(0), folded), compute_of(p), layer ? layer->epsilon : root->epsilon, root != nullptr};
    // Scale and bias may be broadcast to the normalised dims.
    bool whole = true;
    std::string declare, affine = "n";
    for (size_t i = 1; i < p.node.inputs.size(); ++i) {
      if (!p.node.has(i)) continue;
      Space s{rest, {broadcast_strides(k.in_shape(i), rest)}};
      s.collapse();
      const bool same = s.sizes.empty() || (s.sizes.size() == 1 && s.strides[0][0].is(1));
      whole = whole && same;
      std::string at = "f";
      if (!same) {
        const std::string prefix = fmt::format("m{}_", i);
        declare += unravel(k, "f", s.sizes, prefix);
        at = dot(k, prefix, s.strides[0]);
      }
      affine = fmt::format("{} {} ({})up({}[{}])", affine, i == 1 ? "*" : "+", n.type, names[i], at);
    }
    const std::string store = storage_type(t);
    const bool registers = whole && n.rows.contiguous && !n.rows.columns && n.rows.length.is_constant() && n.rows.length.value() > 0 && n.rows.length.value() <= 16384;
    if (registers) {
      k.body = cached(p, n, store, k);
    } else {
      k.body = n.walk(store, affine);
      if (!declare.empty()) {  // the coordinates belong into the last loop
        const size_t at = k.body.rfind("    const " + n.type + " n = ");
        k.body.insert(at, declare);
      }
    }
    for (size_t i = 1; i < p.node.outputs.size(); ++i)
      k.body += fmt::format("  if (live && lane == 0 && {}) {}[row] = down<{}>({});\n", results[i], results[i], storage_type(p.out(i).dtype), i == 1 ? "mean" : "inverse");
    return k.finish("layer_norm", n.rows.grid());
  }

 private:
  // Each thread keeps its part of the row in registers: x is read once.
  static std::string cached(const Problem& p, Normalize& n, const std::string& store, Kernel& k) {
    Rows& r = n.rows;
    const int64_t length = r.length.value();
    size_t widest = dtype_size(p.in(0).dtype);
    int64_t lanes = 16 / static_cast<int64_t>(widest);
    while (lanes > 1 && length % lanes != 0) lanes /= 2;
    const int64_t rows = r.rows.is_constant() ? r.rows.value() : 1024;
    r.group = length <= 256 || (length <= 1024 && rows >= 2048) ? 32 : length <= 1024 ? 128 : length <= 4096 ? 256 : 512;
    while (r.group < 512 && length > r.group * 32) r.group *= 2;
    while (lanes > 1 && length / lanes < r.group) lanes /= 2;
    const int64_t packs = (length / lanes + r.group - 1) / r.group;
    const std::string& type = n.type;
    std::string ready = fmt::format("aligned<{}>(x) && aligned<{}>(y)", lanes, lanes);
    for (size_t i = 1; i < p.node.inputs.size(); ++i)
      if (p.node.has(i)) ready += fmt::format(" && aligned<{}>({})", lanes, i == 1 ? "scale" : "bias");
    std::string text = r.head(k) + fmt::format("  const bool wide = {};\n  {} e[{}];\n  {} mean = 0, var = 0;\n", ready, type, packs * lanes, type);
    auto each = [&](const std::string& body) {
      return fmt::format("#pragma unroll\n  for (int i = 0; i < {}; ++i) {{\n    const I f = (lane + i * kGroup) * {};\n    if (f < length) {{\n{}    }}\n  }}\n", packs, lanes, body);
    };
    auto lane_loop = [&](const std::string& body) { return fmt::format("#pragma unroll\n      for (int j = 0; j < {}; ++j) {}\n", lanes, body); };
    const std::string at = fmt::format("e[i * {} + j]", lanes);
    text += each(fmt::format("      if (wide) {{\n        const auto pack = load<{}>(x + base + f);\n  {}      }} else {{\n  {}      }}\n", lanes, lane_loop(at + " = up(pack.v[j]);"),
                             lane_loop(at + " = up(x[base + f + j]);")) + (n.rms ? "" : lane_loop("mean += " + at + ";")));
    if (!n.rms) text += r.fold("mean", "Sum", fmt::format("({})0", type)) + n.finish_mean();
    text += each(lane_loop(fmt::format("var += ({} - mean) * ({} - mean);", at, at))) + r.fold("var", "Sum", fmt::format("({})0", type)) + n.finish_variance();
    std::string loads, wide = fmt::format("({} - mean) * inverse", at), narrow = wide;
    for (size_t i = 1; i < p.node.inputs.size(); ++i) {
      if (!p.node.has(i)) continue;
      const char* name = i == 1 ? "scale" : "bias";
      loads += fmt::format("        const auto {}_pack = load<{}>({} + f);\n", name, lanes, name);
      wide = fmt::format("{} {} ({})up({}_pack.v[j])", wide, i == 1 ? "*" : "+", type, name);
      narrow = fmt::format("{} {} ({})up({}[f + j])", narrow, i == 1 ? "*" : "+", type, name);
    }
    text += each(fmt::format("      if (wide) {{\n{}        Pack<{}, {}> pack;\n  {}        store<{}>(y + base + f, pack);\n      }} else {{\n  {}      }}\n", loads, store, lanes,
                             lane_loop(fmt::format("pack.v[j] = down<{}>({});", store, wide)), lanes, lane_loop(fmt::format("y[base + f + j] = down<{}>({});", store, narrow))));
    return text;
  }
};

class GroupNormTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.group_norm"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    if (!p.node.as<ops::InstanceNormalization>() && !p.node.as<ops::GroupNormalization>()) return "other operator";
    return all_floats(p) ? "" : "no float";
  }
  Result<Candidate> build(const Problem& p, const Config&) const override {
    const auto* instance = p.node.as<ops::InstanceNormalization>();
    const auto* group = p.node.as<ops::GroupNormalization>();
    Kernel k(p);
    k.input("x", 0), k.input("scale", 1), k.input("bias", 2);
    k.output("y");
    k.helper("reductions", std::string(text_of_reductions()));
    Shape x = k.in_shape(0);
    const bool last = (instance ? instance->layout : group->layout) == "nhwc";
    const Dim channels = x[last ? x.size() - 1 : 1];
    std::vector<bool> folded(x.size(), true);
    std::string channel;
    Dim area = 1;
    if (group && last) {  // [n, spatial..., groups, channels of a group]
      const Dim each = Dim::floordiv(channels, group->num_groups);
      x.back() = group->num_groups;
      x.push_back(each);
      folded.push_back(true);
      folded[0] = folded[x.size() - 2] = false;
      channel = fmt::format("row % {} * {} + f % {}", group->num_groups, k.value(each), k.value(each));
    } else if (group) {  // [n, groups, channels of a group, spatial...]
      x[1] = group->num_groups;
      x.insert(x.begin() + 2, Dim::floordiv(channels, group->num_groups));
      folded.push_back(true);
      folded[0] = folded[1] = false;
      for (size_t i = 3; i < x.size(); ++i) area = area * x[i];
      channel = fmt::format("quotient<I>(f, {}) + row % {} * {}", k.value(area), group->num_groups, k.value(x[2]));
    } else {
      folded[0] = folded[last ? x.size() - 1 : 1] = false;
      channel = fmt::format("row % {}", k.value(channels));
    }
    Normalize n{k, Rows(x, folded), compute_of(p), instance ? instance->epsilon : group->epsilon};
    k.body = n.walk(storage_type(p.out().dtype), fmt::format("n * ({})up(scale[channel]) + ({})up(bias[channel])", n.type, n.type));
    const size_t at = k.body.rfind("    const " + n.type + " n = ");
    k.body.insert(at, "    const I channel = " + channel + ";\n");
    return k.finish("group_norm", n.rows.grid());
  }
};

class BatchNormTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.batch_norm"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    const auto* op = p.node.as<ops::BatchNormalization>();
    if (!op) return "other operator";
    if (op->training_mode || p.node.outputs.size() != 1) return "training";
    return all_floats(p) ? "" : "no float";
  }
  Result<Candidate> build(const Problem& p, const Config&) const override {
    const auto* op = p.node.as<ops::BatchNormalization>();
    Kernel k(p);
    const char* names[] = {"x", "scale", "bias", "mean", "var"};
    for (size_t i = 0; i < 5; ++i) k.input(names[i], i);
    k.output("y");
    const Shape x = k.in_shape(0);
    const bool last = op->layout == "nhwc" || x.size() < 2;
    Space s{x, {Shape(x.size(), Dim(0))}};
    if (x.size() >= 2) s.strides[0][last ? x.size() - 1 : 1] = 1;
    s.strides.push_back(strides_of(x));
    s.collapse();
    const std::string type = compute_of(p), n = k.value(size_of(x)), root = type == "double" ? "sqrt" : "sqrtf";
    k.body = fmt::format("  const I e = (I)blockIdx.x * 256 + (I)threadIdx.x;\n  if (e >= {}) return;\n", n) + unravel(k, "e", s.sizes, "c");
    k.body += fmt::format("  const I c = {};\n  y[e] = down<{}>((({})up(x[e]) - ({})up(mean[c])) / {}(({})up(var[c]) + {}) * ({})up(scale[c]) + ({})up(bias[c]));\n",
                          dot(k, "c", s.strides[0]), storage_type(p.out().dtype), type, type, root, type, literal(op->epsilon, type), type, type);
    return k.finish("batch_norm", {.x = Dim::ceildiv(size_of(x), 256)});
  }
};

}  // namespace

CARNOT_TACTICS(cuda, norm, LayerNormTactic, GroupNormTactic, BatchNormTactic)

}  // namespace carnot::tactics
