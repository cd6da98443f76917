// SPDX-License-Identifier: Apache-2.0
// Convolutions with any epilogue: gathered rows times weights by tiles; depthwise by sliding windows; transposed by gathering what
// reaches each element.
#include "ops/conv.hpp"

#include <algorithm>

#include "ops/conv_transpose.hpp"
#include "tactics/cuda/support_anchor.hpp"
#include "tactics/cuda/support_tile.hpp"
#include "tactics/cuda/support_window.hpp"

namespace carnot::tactics {
namespace {
using namespace cuda;

struct Read {
  Anchor anchor;
  Anchor::Input x, w;
  Refusal refusal;
};

template <typename Op>
Read read(const Problem& p) {
  Read r;
  r.anchor = read_anchor(p, "conv");
  if (!r.anchor.node) return {.refusal = r.anchor.refusal};
  const auto* op = r.anchor.node->as<Op>();
  if (!op) return {.refusal = "other operator"};
  r.refusal = r.anchor.refusal;
  r.x = r.anchor.input(p, 0), r.w = r.anchor.input(p, 1);
  if (!is_float(r.x.value->dtype()) || r.x.value->dtype() != r.w.value->dtype()) r.refusal = "dtype";
  if (r.x.outer < 0 || (r.w.outer < 0 && !r.w.constant)) r.refusal = "an operand lies inside the group";
  if (r.x.value->rank() < 3 || r.x.value->rank() > 5) r.refusal = "more than three spatial axes";
  for (const Dim& d : r.w.value->shape())
    if (!d.is_constant()) r.refusal = "weights of unknown size";
  return r;
}

template <typename Op>
WindowAttributes attributes(const Op& op, const Shape& w) {
  WindowAttributes a{op.layout, op.auto_pad, {}, op.strides, op.pads, op.dilations};
  for (size_t i = 2; i < w.size(); ++i) a.kernel.push_back(w[i].value());
  return a;
}

// The elements of w under other numbers: to[place(o, c, tap)] = w[o, c, tap].
template <typename Place>
Constant repacked(const Constant& w, Place place) {
  const int64_t channels = w.dims[1], taps = w.size() / std::max<int64_t>(1, w.dims[0] * channels);
  Constant to = Constant::allocate(w.dtype, {w.size()});
  const size_t bytes = dtype_size(w.dtype);
  for (int64_t o = 0; o < w.dims[0]; ++o)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t t = 0; t < taps; ++t)
        std::memcpy(static_cast<char*>(to.mutable_data()) + static_cast<size_t>(place(o, c, t)) * bytes, static_cast<const char*>(w.data) + static_cast<size_t>((o * channels + c) * taps + t) * bytes, bytes);
  return to;
}

Result<std::string> finish_text(Kernel& k, const Problem& p, const Read& r, bool last) {
  const Shape out = k.shape(r.anchor.node->out()->shape());
  Epilogue epilogue(k, p, r.anchor, out, last ? out.size() - 1 : 1);
  return epilogue.text(r.anchor.node->has(2) ? "acc + " + epilogue.anchor_channel("bias", 2) : "acc");
}

// One channel each: neighbouring threads hold neighbouring channels, and each makes a few pixels in a row, so that a window's columns
// are read once.
class DepthwiseTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.conv_depthwise"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 120; }
  Refusal refuses(const Problem& p) const override {
    const Read r = read<ops::Conv>(p);
    if (!r.refusal.empty()) return r.refusal;
    const auto& op = *r.anchor.node->as<ops::Conv>();
    const Shape& ws = r.w.value->shape();
    if (op.layout != "nhwc") return "the layout is nchw";
    if (ws[1].value() != 1 || ws[0].value() != op.group) return "not depthwise";
    if (!r.w.constant || r.w.constant->size() == 0) return "the weights are computed at run time";
    int64_t taps = 1;
    for (size_t i = 2; i < ws.size(); ++i) taps *= ws[i].value();
    return taps > 81 ? "a large window" : "";
  }

  Result<Candidate> build(const Problem& p, const Config&) const override {
    const Read r = read<ops::Conv>(p);
    const auto& op = *r.anchor.node->as<ops::Conv>();
    Kernel k(p);
    const int64_t channels = op.group;
    const DType t = r.x.value->dtype();
    k.input("x", static_cast<size_t>(r.x.outer));
    k.packed("w", repacked(*r.w.constant, [&](int64_t o, int64_t, int64_t tap) { return tap * channels + o; }));
    k.output("y");
    const Window w = make_window(attributes(op, r.w.value->shape()), k.shape(r.x.value->shape()), k.shape(r.anchor.node->out()->shape()));
    CARNOT_ASSIGN(k.body, finish_text(k, p, r, true));
    // Wide enough to use the memory, narrow enough to give every multiprocessor something to do.
    const Dim pixels = w.batch * size_of(w.out), cols = w.out.back();
    const int64_t about = pixels.is_constant() ? pixels.value() * channels : int64_t{1} << 24, bytes = static_cast<int64_t>(dtype_size(t));
    int64_t lanes = 16 / bytes, run = 4;
    while (lanes > 1 && channels % lanes != 0) lanes /= 2;
    auto threads = [&] { return about / lanes / run; };
    while (run > 1 && threads() < 132 * 512) run /= 2;
    while (lanes > 1 && lanes * bytes > 4 && threads() < 132 * 512) lanes /= 2;
    if (cols.is_constant() && cols.value() < run) run = 1;
    const int64_t kw = w.kernel.back(), sw = w.strides.back(), dw = w.dilations.back();
    // Columns that a thread's windows cover together.
    const int64_t span = (run - 1) * sw + (kw - 1) * dw + 1;
    const std::string type = compute_type(t);
    Shape space{w.batch};
    space.insert(space.end(), w.out.begin(), w.out.end() - 1);
    space.push_back(Dim::ceildiv(cols, run));
    space.push_back(channels / lanes);
    const Dim total = size_of(space);
    const size_t n = w.rank();
    k.body += fmt::format("  const I e = (I)blockIdx.x * 128 + (I)threadIdx.x;\n  if (e >= {}) return;\n", k.value(total)) + unravel(k, "e", space, "p");
    k.body += fmt::format("  const I ch = p{} * {}, first = p{} * {};\n  {} sums[{}][{}];\n#pragma unroll\n  for (int i = 0; i < {}; ++i)\n#pragma unroll\n    for (int j = 0; j < {}; ++j) sums[i][j] = 0;\n", n + 1, lanes, n,
                          run, type, run, lanes, run, lanes);
    // Outer taps as loops, the columns of the last axis unrolled. What lies outside is read as 0 rather than left out: a branch around a
    // load would keep the next one from being under way.
    std::string open, close, at = fmt::format("p0 * {}", k.value(w.channels * size_of(w.in))), number, within = "true";
    const Shape steps = w.in_strides();
    for (size_t a = 0; a + 1 < n; ++a) {
      open += fmt::format("#pragma unroll\n  for (int t{} = 0; t{} < {}; ++t{}) {{\n    const I i{} = p{} * {} - {} + t{} * {};\n", a, a, w.kernel[a], a, a, a + 1, w.strides[a], k.value(w.pads[a]), a, w.dilations[a]);
      at += fmt::format(" + i{} * {}", a, k.value(steps[a]));
      within += fmt::format(" && i{} >= 0 && i{} < {}", a, a, k.value(w.in[a]));
      int64_t rest = 1;
      for (size_t b = a + 1; b < n; ++b) rest *= w.kernel[b];
      number += fmt::format("t{} * {} + ", a, rest);
      close += "  }\n";
    }
    const std::string pack = fmt::format("Pack<{}, {}>", storage_type(t), lanes), stored = storage_type(p.out().dtype);
    std::string flat = "p0";
    for (size_t a = 0; a + 1 < n; ++a) flat = fmt::format("({} * {} + p{})", flat, k.value(w.out[a]), a + 1);
    auto work = [&](bool wide) {
      const auto read_pack = [&](const std::string& to, const std::string& from) {
        return wide ? fmt::format("{} = load<{}>({});\n", to, lanes, from) : fmt::format("for (int j = 0; j < {}; ++j) {}.v[j] = ({})[j];\n", lanes, to, from);
      };
      std::string text = open + fmt::format("    {} taps[{}], row[{}];\n#pragma unroll\n    for (int t = 0; t < {}; ++t) {}", pack, kw, span, kw, read_pack("taps[t]", fmt::format("w + ({}t) * {} + ch", number, channels)));
      // Each column is read once and goes into every window that holds it.
      text += fmt::format("#pragma unroll\n    for (int q = 0; q < {}; ++q) {{\n      const I i = first * {} - {} + q;\n      const bool inside = {} && i >= 0 && i < {};\n      const I from = inside ? {} + i * {} + ch : 0;\n      {}#pragma unroll\n      for (int j = 0; j < {}; ++j)\n        if (!inside) row[q].v[j] = down<{}>(({})0);\n    }}\n", span, sw,
                          k.value(w.pads.back()), within, k.value(w.in.back()), at, k.value(steps.back()), read_pack("row[q]", "x + from"), lanes, storage_type(t), type);
      text += fmt::format("#pragma unroll\n    for (int r = 0; r < {}; ++r)\n#pragma unroll\n      for (int t = 0; t < {}; ++t)\n#pragma unroll\n        for (int j = 0; j < {}; ++j) sums[r][j] += up(row[r * {} + t * {}].v[j]) * up(taps[t].v[j]);\n{}", run, kw, lanes, sw, dw, close);
      return text + fmt::format("#pragma unroll\n  for (int r = 0; r < {}; ++r) {{\n    if (first + r >= {}) break;\n    const I at = ({} * {} + first + r) * {} + ch;\n    Pack<{}, {}> out;\n#pragma unroll\n    for (int j = 0; j < {}; ++j) out.v[j] = finish(sums[r][j], at + j, ch + j);\n    {}  }}\n", run,
                                k.value(cols), flat, k.value(cols), channels, stored, lanes, lanes, wide ? fmt::format("store<{}>(y + at, out);\n", lanes) : fmt::format("for (int j = 0; j < {}; ++j) y[at + j] = out.v[j];\n", lanes));
    };
    if (lanes == 1) k.body += work(false);
    else k.body += fmt::format("  if (aligned<{}>(x) && aligned<{}>(w) && aligned<{}>(y)) {{\n{}  }} else {{\n{}  }}\n", lanes, lanes, lanes, work(true), work(false));
    return k.finish("depthwise", {.x = Dim::ceildiv(total, 128), .threads = 128});
  }
};

class ConvTileTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.conv_tile"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 50; }
  Refusal refuses(const Problem& p) const override {
    const Read r = read<ops::Conv>(p);
    if (!r.refusal.empty()) return r.refusal;
    // One column of one channel would fill a sixty-fourth of a tile.
    return DepthwiseTactic().refuses(p).empty() ? "depthwise" : "";
  }

  std::vector<Config> configs(const Problem&, Effort effort) const override { return Tile::configs(effort); }

  Result<Candidate> build(const Problem& p, const Config& config) const override {
    const Read r = read<ops::Conv>(p);
    const auto& op = *r.anchor.node->as<ops::Conv>();
    Kernel k(p);
    const Shape& ws = r.w.value->shape();
    const int64_t filters = ws[0].value(), per_group = ws[1].value(), groups = op.group, columns = filters / groups;
    const bool last = op.layout == "nhwc";
    k.input("x", static_cast<size_t>(r.x.outer));
    // Channels-last rows are gathered tap by tap, so the weights' rows run the same way.
    const bool turned = last && r.w.constant;
    int64_t taps = 1;
    for (size_t i = 2; i < ws.size(); ++i) taps *= ws[i].value();
    if (turned) k.packed("w", repacked(*r.w.constant, [&](int64_t o, int64_t c, int64_t t) { return (o * taps + t) * per_group + c; }));
    else if (r.w.outer >= 0) k.input("w", static_cast<size_t>(r.w.outer));
    else k.packed("w", *r.w.constant);
    k.output("y");
    const Window w = make_window(attributes(op, ws), k.shape(r.x.value->shape()), k.shape(r.anchor.node->out()->shape()));
    CARNOT_ASSIGN(k.body, finish_text(k, p, r, last));
    Tile t;
    t.dtype = r.x.value->dtype();
    t.m = w.batch * size_of(w.out), t.n = columns, t.k = taps * per_group, t.batch = groups;
    t.choose(config);
    const int pack = t.pack();
    const bool whole = last && per_group % pack == 0;  // a pack lies in one tap
    t.setup = fmt::format("  const bool x_wide = {}, w_wide = {};\n", whole && groups == 1 ? fmt::format("aligned<{}>(x)", pack) : whole ? fmt::format("aligned<{}>(x) && {} % {} == 0", pack, k.value(w.channels), pack) : "false",
                          (taps * per_group) % pack == 0 && (turned || !last) ? fmt::format("aligned<{}>(w)", pack) : "false");
    // The output pixel of a row.
    Shape space{w.batch};
    space.insert(space.end(), w.out.begin(), w.out.end());
    std::vector<std::string> o, tap;
    for (size_t a = 0; a < w.rank(); ++a) o.push_back(fmt::format("p{}", a + 1)), tap.push_back(fmt::format("t{}", a));
    const Shape steps = w.in_strides();
    std::string at = fmt::format("p0 * {}", k.value(w.channels * size_of(w.in)));
    for (size_t a = 0; a < w.rank(); ++a) at += fmt::format(" + i{} * {}", a, k.value(steps[a]));
    auto split_tap = [&](const std::string& flat) {  // t0, t1 ... of a tap's number
      Shape kernel;
      for (const int64_t n : w.kernel) kernel.push_back(n);
      return "        const I tap_number = " + flat + ";\n" + unravel(k, "tap_number", kernel, "t");
    };
    const std::string group_base = fmt::format("batch * {}", per_group);
    auto element = [&](const std::string& kk) {  // tap and channel of element kk
      return last ? fmt::format("const I tap_ = quotient<I>({}, {}), ch_ = {} - tap_ * {};\n", kk, per_group, kk, per_group) : fmt::format("const I ch_ = quotient<I>({}, {}), tap_ = {} - ch_ * {};\n", kk, taps, kk, taps);
    };
    t.a_pack = unravel(k, "row", space, "p");
    std::string slow = fmt::format("          for (int j = 0; j < {}; ++j) {{\n            const I kk = k0 + j;\n            if (kk >= {}) break;\n            {}{}            {}            if (inside) pack.v[j] = x[{} + ({} + ch_) * {}];\n          }}\n", pack,
                                   taps * per_group, element("kk"), split_tap("tap_"), positions(k, w, "", o, tap), at, group_base, k.value(w.in_channel_stride()));
    if (whole)
      t.a_pack += fmt::format("        if (x_wide) {{\n          {}{}          {}          if (inside) pack = load<{}>(x + {} + {} + ch_);\n        }} else {{\n{}        }}\n", element("k0"), split_tap("tap_"), positions(k, w, "", o, tap), pack, at, group_base, slow);
    else
      t.a_pack += slow;
    t.a_fast_rows = !last;
    const std::string line = fmt::format("w + (batch * {} + col) * {}", columns, taps * per_group);
    const std::string place = turned || !last ? "k0 + j" : fmt::format("(k0 + j) % {} * {} + (k0 + j) / {}", per_group, taps, per_group);
    t.b_pack = fmt::format("        const auto* from = {};\n        if (w_wide) pack = load<{}>(from + k0);\n        else\n          for (int j = 0; j < {}; ++j)\n            if (k0 + j < {}) pack.v[j] = from[{}];\n", line, pack, pack, taps * per_group, place);
    const std::string area = k.value(size_of(w.out));
    t.channel = fmt::format("batch * {} + col", columns);
    t.offset = last ? fmt::format("row * {} + batch * {} + col", filters, columns)
                    : fmt::format("(quotient<I>(row, {}) * {} + batch * {} + col) * {} + row % {}", area, filters, columns, area, area);
    k.body += tile_text(k, t);
    return k.finish("conv", t.grid());
  }
};

class ConvTransposeTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.conv_transpose"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 50; }
  Refusal refuses(const Problem& p) const override {
    const Read r = read<ops::ConvTranspose>(p);
    if (!r.refusal.empty()) return r.refusal;
    const auto& op = *r.anchor.node->as<ops::ConvTranspose>();
    if ((!op.output_shape.empty() || op.auto_pad.starts_with("SAME")) && !is_static(r.x.value->shape())) return "the pads follow from a dynamic size";
    return {};
  }

  Result<Candidate> build(const Problem& p, const Config&) const override {
    const Read r = read<ops::ConvTranspose>(p);
    const auto& op = *r.anchor.node->as<ops::ConvTranspose>();
    Kernel k(p);
    const Shape& ws = r.w.value->shape();
    const int64_t channels = ws[0].value(), per_group = ws[1].value(), groups = op.group, inner = channels / groups;
    int64_t taps = 1;
    for (size_t i = 2; i < ws.size(); ++i) taps *= ws[i].value();
    k.input("x", static_cast<size_t>(r.x.outer));
    // [group, tap, c, m]: neighbouring threads hold neighbouring filters.
    const bool turned = r.w.constant != nullptr;
    if (turned) k.packed("w", repacked(*r.w.constant, [&](int64_t c, int64_t m, int64_t t) { return ((c / inner * taps + t) * inner + c % inner) * per_group + m; }));
    else k.input("w", static_cast<size_t>(r.w.outer));
    k.output("y");
    WindowAttributes attr = attributes(op, ws);
    attr.auto_pad.clear(), attr.pads.clear();
    Window w = make_window(attr, k.shape(r.x.value->shape()), k.shape(r.anchor.node->out()->shape()));
    if (!op.output_shape.empty() || op.auto_pad.starts_with("SAME")) {
      const auto pads = ops::begin_pads(op, to_dims(w.in), Dims(w.kernel.begin(), w.kernel.end()));
      w.pads.assign(pads.begin(), pads.end());
    } else if (op.auto_pad != "VALID" && !op.pads.empty()) {
      w.pads.assign(op.pads.begin(), op.pads.begin() + static_cast<std::ptrdiff_t>(w.rank()));
    }
    CARNOT_ASSIGN(k.body, finish_text(k, p, r, w.last));
    const std::string type = compute_type(r.x.value->dtype());
    const Shape out = k.shape(r.anchor.node->out()->shape());
    const Dim total = size_of(out);
    const std::string ch = fmt::format("p{}", w.last ? w.rank() + 1 : 1);
    k.body += fmt::format("  const I e = (I)blockIdx.x * 128 + (I)threadIdx.x;\n  if (e >= {}) return;\n", k.value(total)) + unravel(k, "e", out, "p");
    k.body += fmt::format("  const I group = quotient<I>({}, {}), m = {} - group * {};\n  {} acc = 0;\n", ch, per_group, ch, per_group, type);
    std::string close, at = fmt::format("p0 * {}", k.value(w.channels * size_of(w.in))), number = "0";
    const Shape steps = w.in_strides();
    for (size_t a = 0; a < w.rank(); ++a) {
      // o = i * stride - pad + tap * dilation
      k.body += fmt::format("  for (int t{} = 0; t{} < {}; ++t{}) {{\n    const I r{} = p{} + {} - t{} * {};\n    if (r{} < 0 || r{} % {} != 0) continue;\n    const I i{} = r{} / {};\n    if (i{} >= {}) continue;\n", a, a, w.kernel[a], a, a,
                            a + (w.last ? 1 : 2), k.value(w.pads[a]), a, w.dilations[a], a, a, w.strides[a], a, a, w.strides[a], a, k.value(w.in[a]));
      at += fmt::format(" + i{} * {}", a, k.value(steps[a]));
      number = fmt::format("({} * {} + t{})", number, w.kernel[a], a);
      close += "  }\n";
    }
    const std::string step = k.value(w.in_channel_stride());
    k.body += fmt::format("    const auto* from = x + {} + group * {} * {};\n    const auto* by = w + {};\n    for (int c = 0; c < {}; ++c) acc += up(from[c * {}]) * up(by[c * {}]);\n{}", at, inner, step,
                          turned ? fmt::format("(group * {} + {}) * {} + m", taps, number, inner * per_group) : fmt::format("(group * {} * {} + m) * {} + {}", inner, per_group, taps, number), inner, step, turned ? per_group : per_group * taps, close);
    k.body += fmt::format("  y[e] = finish(acc, e, {});\n", ch);
    return k.finish("conv_transpose", {.x = Dim::ceildiv(total, 128), .threads = 128});
  }
};

}  // namespace

CARNOT_TACTICS(cuda, conv_generated, ConvTileTactic, DepthwiseTactic, ConvTransposeTactic)

}  // namespace carnot::tactics
