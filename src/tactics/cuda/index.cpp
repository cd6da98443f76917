// SPDX-License-Identifier: Apache-2.0
// Operators that find each element of the result by an index: gather, gather_elements, gather_nd, scatter_elements, scatter_nd, pad,
// one_hot, trilu, range, constant_of_shape, reverse_sequence. An index outside its axis, which the reference refuses, is moved to the
// nearest place, so that the kernel never touches what is not its own, and told: the run fails when it is waited for.
#include <algorithm>

#include "ops/constant_of_shape.hpp"
#include "ops/gather.hpp"
#include "ops/gather_elements.hpp"
#include "ops/gather_nd.hpp"
#include "ops/one_hot.hpp"
#include "ops/pad.hpp"
#include "ops/range.hpp"
#include "ops/reverse_sequence.hpp"
#include "ops/scatter_elements.hpp"
#include "ops/scatter_nd.hpp"
#include "ops/trilu.hpp"
#include "tactics/cuda/support_kernel.hpp"

namespace carnot::tactics {
namespace {
using namespace cuda;

void declare_place(Kernel& k) {
  k.set_complains();
  k.helper("place",
           "template <typename I> static __device__ __forceinline__ I place(long long i, I n, long long* complaint) {\n  const long long at = i < 0 ? i + n : i;\n"
           "  if (at >= 0 && at < n) return (I)at;\n  if (complaint) *complaint = i;\n  return at < 0 ? (I)0 : n - 1;\n}\n");
}

// In an axis without elements there is no nearest place.
std::string refuse_empty(Kernel& k, const Dim& n) {
  if (n.is_constant()) return "";
  return fmt::format("  if ({} == 0) {{\n    if (complaint) *complaint = -9223372036854775807LL;\n    return;\n  }}\n", k.value(n));
}

std::string one_each(Kernel& k, const Dim& total) {
  return fmt::format("  const I e = (I)blockIdx.x * 256 + (I)threadIdx.x;\n  if (e >= {}) return;\n", k.value(total));
}

// ---- reading -----------------------------------------------------------------------------------------------------------------
Result<Candidate> gather(const Problem& p) {
  Kernel k(p);
  const std::string type = bytes_type(p.in(0).dtype);
  k.input("x", 0, type), k.input("index", 1), k.output("y", type);
  declare_place(k);
  const Shape x = k.in_shape(0), i = k.in_shape(1);
  const auto axis = static_cast<size_t>(*normalize_axis(p.node.as<ops::Gather>()->axis, x.size()));
  const Dim inner = size_of(Shape(x.begin() + static_cast<std::ptrdiff_t>(axis) + 1, x.end())), outer = size_of(Shape(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(axis)));
  const Dim count = size_of(i), total = outer * count * inner;
  // Wide reads where whole rows are taken.
  int64_t lanes = 16 / static_cast<int64_t>(dtype_size(p.in(0).dtype));
  while (lanes > 1 && !(inner.is_constant() && inner.value() % lanes == 0)) lanes /= 2;
  while (lanes > 1 && total.is_constant() && total.value() < lanes * 132 * 256 && lanes * static_cast<int64_t>(dtype_size(p.in(0).dtype)) > 4) lanes /= 2;
  const std::string n = k.value(x[axis]), size = k.value(inner), index = k.value(count);
  k.body = refuse_empty(k, x[axis]) + fmt::format("  const bool wide = aligned<{}>(x) && aligned<{}>(y);\n  for (I q = (I)blockIdx.x * 256 + (I)threadIdx.x; q < {} / {}; q += (I)gridDim.x * 256) {{\n"
                       "    const I e = q * {}, r = quotient<I>(e, {}), c = e - r * {}, a = quotient<I>(r, {});\n"
                       "    const I from = (a * {} + place<I>((long long)index[r - a * {}], {}, complaint)) * {} + c;\n",
                       lanes, lanes, k.value(total), lanes, lanes, size, size, index, n, index, n, size);
  k.body += lanes == 1 ? "    y[e] = x[from];\n  }\n"
                       : fmt::format("    if (wide) store<{}>(y + e, load<{}>(x + from));\n    else for (int j = 0; j < {}; ++j) y[e + j] = x[from + j];\n  }}\n", lanes, lanes, lanes);
  return k.finish("gather", {.x = Dim::ceildiv(total, 256 * lanes)});
}

Result<Candidate> gather_elements(const Problem& p) {
  Kernel k(p);
  const std::string type = bytes_type(p.in(0).dtype);
  k.input("x", 0, type), k.input("index", 1), k.output("y", type);
  declare_place(k);
  const Shape x = k.in_shape(0), i = k.in_shape(1);
  const auto axis = static_cast<size_t>(*normalize_axis(p.node.as<ops::GatherElements>()->axis, x.size()));
  Shape strides = strides_of(x);
  const Dim step = strides[axis];
  strides[axis] = 0;
  k.body = refuse_empty(k, x[axis]) + one_each(k, size_of(i)) + unravel(k, "e", i, "c");
  k.body += fmt::format("  y[e] = x[{} + place<I>((long long)index[e], {}, complaint) * {}];\n", dot(k, "c", strides), k.value(x[axis]), k.value(step));
  return k.finish("gather_elements", {.x = Dim::ceildiv(size_of(i), 256)});
}

// Offset of the tuple that `tuple` points to, over axes from `first` on.
std::string tuple_offset(Kernel& k, const Shape& x, size_t first, size_t depth) {
  const Shape strides = strides_of(x);
  std::string text;
  for (size_t d = 0; d < depth; ++d)
    text += fmt::format("{}place<I>((long long)tuple[{}], {}, complaint) * {}", d ? " + " : "", d, k.value(x[first + d]), k.value(strides[first + d]));
  return text.empty() ? "0" : text;
}

Result<Candidate> gather_nd(const Problem& p) {
  Kernel k(p);
  const std::string type = bytes_type(p.in(0).dtype);
  k.input("x", 0, type), k.input("index", 1), k.output("y", type);
  declare_place(k);
  const Shape x = k.in_shape(0), i = k.in_shape(1);
  const auto batch = static_cast<size_t>(p.node.as<ops::GatherNd>()->batch_dims), depth = static_cast<size_t>(i.back().value());
  Dim inner = 1, tuples = 1, data_batch = 1;
  for (size_t d = batch; d < x.size(); ++d) data_batch = data_batch * x[d];
  for (size_t d = batch + depth; d < x.size(); ++d) inner = inner * x[d];
  for (size_t d = batch; d + 1 < i.size(); ++d) tuples = tuples * i[d];
  const Dim total = size_of(k.out_shape());
  for (size_t d = 0; d < depth; ++d) k.body += refuse_empty(k, x[batch + d]);
  k.body += one_each(k, total);
  k.body += fmt::format("  const I t = quotient<I>(e, {}), c = e - t * {};\n  const auto* tuple = index + t * {};\n", k.value(inner), k.value(inner), depth);
  k.body += fmt::format("  y[e] = x[quotient<I>(t, {}) * {} + {} + c];\n", k.value(tuples), k.value(data_batch), tuple_offset(k, x, batch, depth));
  return k.finish("gather_nd", {.x = Dim::ceildiv(total, 256)});
}

Result<Candidate> pad(const Problem& p) {
  const auto& op = *p.node.as<ops::Pad>();
  Kernel k(p);
  const std::string type = bytes_type(p.in(0).dtype);
  k.input("x", 0, type), k.input("fill", 2, type), k.output("y", type);
  const Shape x = k.in_shape(0), y = k.out_shape(), strides = strides_of(x);
  std::vector<int64_t> axes;
  if (p.node.has(3)) {
    CARNOT_ASSIGN(axes, to_int64s(p.constant(3)->view()));
  } else {
    for (size_t i = 0; i < x.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  }
  std::vector<Dim> pads;
  if (const Constant* c = p.constant(1)) {
    CARNOT_ASSIGN(const auto ints, to_int64s(c->view()));
    pads.assign(ints.begin(), ints.end());
  } else {
    pads = *p.in(1).values;
  }
  k.body = one_each(k, size_of(y)) + unravel(k, "e", y, "c") + "  bool inside = true;\n  I at = 0;\n";
  for (size_t a = 0; a < x.size(); ++a) {
    Dim before = 0;
    for (size_t i = 0; i < axes.size(); ++i)
      if (static_cast<size_t>(*normalize_axis(axes[i], x.size())) == a) before = k.dim(pads[i]);
    const std::string n = k.value(x[a]), stride = k.value(strides[a]);
    if (before.is(0) && y[a] == x[a]) {
      k.body += fmt::format("  at += c{} * {};\n", a, stride);
      continue;
    }
    k.body += fmt::format("  {{\n    I i = c{} - {};\n", a, k.value(before));
    if (op.mode == "constant") k.body += fmt::format("    inside = inside && i >= 0 && i < {};\n", n);
    else if (op.mode == "edge") k.body += fmt::format("    i = i < 0 ? 0 : i >= {} ? {} - 1 : i;\n", n, n);
    else if (op.mode == "wrap") k.body += fmt::format("    if (i < 0 || i >= {}) i = (i % {} + {}) % {};\n", n, n, n, n);
    else k.body += fmt::format("    if ({} == 1) i = 0;\n    else if (i < 0 || i >= {}) {{\n      const I period = 2 * ({} - 1), m = (i % period + period) % period;\n      i = m < {} ? m : period - m;\n    }}\n", n, n, n, n);
    k.body += fmt::format("    at += i * {};\n  }}\n", stride);
  }
  // The value may be an empty tensor, which means 0.
  const bool filled = p.node.has(2) && !(p.in(2).shape.size() == 1 && p.in(2).shape[0].is(0));
  k.body += fmt::format("  y[e] = inside ? x[at] : ({}){};\n", type, filled ? "fill[0]" : "0");
  return k.finish("pad", {.x = Dim::ceildiv(size_of(y), 256)});
}

Result<Candidate> one_hot(const Problem& p) {
  Kernel k(p);
  const std::string type = bytes_type(p.out().dtype);
  k.input("index", 0), k.input("values", 2, type), k.output("y", type);
  const Shape y = k.out_shape();
  const auto axis = static_cast<size_t>(*normalize_axis(p.node.as<ops::OneHot>()->axis, y.size()));
  const Dim inner = size_of(Shape(y.begin() + static_cast<std::ptrdiff_t>(axis) + 1, y.end()));
  const std::string depth = k.value(y[axis]), in = k.value(inner);
  k.body = one_each(k, size_of(y));
  k.body += fmt::format("  const I r = quotient<I>(e, {}), c = e - r * {}, o = quotient<I>(r, {}), place = r - o * {};\n", in, in, depth, depth);
  // Places that are no whole numbers count by their whole part.
  k.body += fmt::format("  const auto raw = up(index[o * {} + c]);\n  const long long i = (long long)raw;\n", in);
  k.body += fmt::format("  y[e] = values[i == (long long)place || i + {} == (long long)place];\n", depth);
  return k.finish("one_hot", {.x = Dim::ceildiv(size_of(y), 256)});
}

Result<Candidate> trilu(const Problem& p) {
  const auto& op = *p.node.as<ops::Trilu>();
  Kernel k(p);
  const std::string type = bytes_type(p.in(0).dtype);
  k.input("x", 0, type), k.input("diagonal", 1), k.output("y", type);
  const Shape x = k.in_shape(0);
  const std::string rows = k.value(x[x.size() - 2]), cols = k.value(x.back());
  k.body = one_each(k, size_of(x));
  k.body += fmt::format("  const I r = quotient<I>(e, {}), c = e - r * {}, line = r - quotient<I>(r, {}) * {};\n  const long long d = (long long)c - (long long)line, k = {};\n", cols, cols, rows, rows,
                        p.node.has(1) ? "(long long)diagonal[0]" : "0");
  k.body += fmt::format("  y[e] = d {} k ? x[e] : ({})0;\n", op.upper ? ">=" : "<=", type);
  return k.finish("trilu", {.x = Dim::ceildiv(size_of(x), 256)});
}

Result<Candidate> range(const Problem& p) {
  Kernel k(p);
  k.input("start", 0), k.input("delta", 2), k.output("y");
  const std::string type = compute_type(p.out().dtype), store = storage_type(p.out().dtype);
  const Dim n = size_of(k.out_shape());
  k.body = one_each(k, n) + fmt::format("  y[e] = down<{}>(up(start[0]) + ({})e * up(delta[0]));\n", store, type);
  return k.finish("range", {.x = Dim::ceildiv(n, 256)});
}

Result<Candidate> fill(const Problem& p) {
  const auto& op = *p.node.as<ops::ConstantOfShape>();
  Kernel k(p);
  k.output("y");
  const std::string type = compute_type(op.dtype);
  const Dim n = size_of(k.out_shape());
  k.body = one_each(k, n) + fmt::format("  y[e] = down<{}>({});\n", storage_type(op.dtype), is_float(op.dtype) ? literal(op.value, type) : fmt::format("({}){}", type, literal(op.ivalue)));
  return k.finish("fill", {.x = Dim::ceildiv(n, 256)});
}

Result<Candidate> reverse_sequence(const Problem& p) {
  const auto& op = *p.node.as<ops::ReverseSequence>();
  Kernel k(p);
  const std::string type = bytes_type(p.in(0).dtype);
  k.input("x", 0, type), k.input("lengths", 1), k.output("y", type);
  const Shape x = k.in_shape(0), strides = strides_of(x);
  const auto t = static_cast<size_t>(op.time_axis), b = static_cast<size_t>(op.batch_axis);
  k.body = one_each(k, size_of(x)) + unravel(k, "e", x, "c");
  k.body += fmt::format("  const long long n = (long long)lengths[c{}] < {} ? (long long)lengths[c{}] : {};\n  y[e] = x[c{} < n ? e + ((I)n - 1 - 2 * c{}) * {} : e];\n", b, k.value(x[t]), b, k.value(x[t]), t, t,
                        k.value(strides[t]));
  return k.finish("reverse_sequence", {.x = Dim::ceildiv(size_of(x), 256)});
}

// ---- writing -----------------------------------------------------------------------------------------------------------------
// Each warp owns 512 elements of the result: it copies them, then goes through all updates in order and applies those that meet its
// part. No atomics, and among equal places the last update wins, as in the reference.
Result<Candidate> scatter(const Problem& p, std::string_view reduction, const std::string& declare, const std::string& at, const Dim& updates, const Dim& inner, Kernel& k) {
  constexpr int64_t kOwned = 512;
  const std::string store = storage_type(p.in(0).dtype);
  std::string combined = "u";
  if (reduction == "add") combined = fmt::format("down<{}>(up(y[i]) + up(u))", store);
  if (reduction == "mul") combined = fmt::format("down<{}>(up(y[i]) * up(u))", store);
  if (reduction == "min") combined = "up(u) < up(y[i]) ? u : y[i]";
  if (reduction == "max") combined = "up(y[i]) < up(u) ? u : y[i]";
  const Dim total = size_of(k.out_shape());
  const std::string n = k.value(total), count = k.value(updates), in = k.value(inner);
  k.body = fmt::format("  const I lane = (I)threadIdx.x % 32, low = ((I)blockIdx.x * 8 + (I)threadIdx.x / 32) * {}, high = low + {} < {} ? low + {} : {};\n", kOwned, kOwned, n, kOwned, n);
  k.body += "  for (I i = low + lane; i < high; i += 32) y[i] = x[i];\n  __syncwarp();\n";
  k.body += fmt::format("  for (I first = 0; first < {}; first += 32) {{\n    const I e = first + lane;\n    I at = -1;\n    if (e < {}) {{\n{}      at = {};\n    }}\n", count, count, declare, at);
  k.body += fmt::format("    const bool meets = at >= 0 && at < high && at + {} > low;\n", in);
  k.body += "    for (unsigned left = __ballot_sync(0xffffffffu, meets); left != 0; left &= left - 1) {\n      const int owner = __ffs(left) - 1;\n      const I to = __shfl_sync(0xffffffffu, at, owner);\n";
  k.body += fmt::format("      for (I i = (to > low ? to : low) + lane; i < high && i < to + {}; i += 32) {{\n        const {} u = updates[(first + owner) * {} + i - to];\n        y[i] = {};\n      }}\n      __syncwarp();\n    }}\n  }}\n",
                        in, store, in, combined);
  return k.finish("scatter", {.x = Dim::ceildiv(total, 8 * kOwned)});
}

Result<Candidate> scatter_elements(const Problem& p) {
  const auto& op = *p.node.as<ops::ScatterElements>();
  Kernel k(p);
  k.input("x", 0), k.input("index", 1), k.input("updates", 2), k.output("y");
  declare_place(k);
  const Shape x = k.in_shape(0), i = k.in_shape(1);
  const auto axis = static_cast<size_t>(*normalize_axis(op.axis, x.size()));
  Shape strides = strides_of(x);
  const std::string at = fmt::format("place<I>((long long)index[e], {}, complaint) * {}", k.value(x[axis]), k.value(strides[axis]));
  strides[axis] = 0;
  const std::string declare = unravel(k, "e", i, "c");
  return scatter(p, op.reduction, declare, dot(k, "c", strides) + " + " + at, size_of(i), 1, k);
}

Result<Candidate> scatter_nd(const Problem& p) {
  const auto& op = *p.node.as<ops::ScatterNd>();
  Kernel k(p);
  k.input("x", 0), k.input("index", 1), k.input("updates", 2), k.output("y");
  declare_place(k);
  const Shape x = k.in_shape(0), i = k.in_shape(1);
  const auto depth = static_cast<size_t>(i.back().value());
  Dim inner = 1, tuples = 1;
  for (size_t d = depth; d < x.size(); ++d) inner = inner * x[d];
  for (size_t d = 0; d + 1 < i.size(); ++d) tuples = tuples * i[d];
  const std::string declare = fmt::format("      const auto* tuple = index + e * {};\n", depth);
  return scatter(p, op.reduction, declare, tuple_offset(k, x, 0, depth), tuples, inner, k);
}

using Build = Result<Candidate> (*)(const Problem&);

Build find(const ir::Node& n) {
  if (n.as<ops::Gather>()) return gather;
  if (n.as<ops::GatherElements>()) return gather_elements;
  if (n.as<ops::GatherNd>()) return gather_nd;
  if (n.as<ops::ScatterElements>()) return scatter_elements;
  if (n.as<ops::ScatterNd>()) return scatter_nd;
  if (n.as<ops::Pad>()) return pad;
  if (n.as<ops::OneHot>()) return one_hot;
  if (n.as<ops::Trilu>()) return trilu;
  if (n.as<ops::Range>()) return range;
  if (n.as<ops::ConstantOfShape>()) return fill;
  if (n.as<ops::ReverseSequence>()) return reverse_sequence;
  return nullptr;
}

class IndexTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.index"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    const ir::Node& n = p.node;
    const Build build = find(n);
    if (!build) return "other operator";
    for (size_t i = 0; i < n.inputs.size(); ++i)
      if (n.has(i) && p.in(i).dtype == DType::kString) return "strings";
    if (storage_type(p.out().dtype).empty()) return "dtype";
    if (const auto* scatter = n.as<ops::ScatterElements>(); scatter && scatter->reduction != "none" && p.in(0).dtype == DType::kBool) return "a reduction of bools";
    if ((n.as<ops::GatherNd>() || n.as<ops::ScatterNd>()) && (p.in(1).shape.empty() || !p.in(1).shape.back().is_constant())) return "the depth of the indices is known at run time";
    // The reference refuses an index into an empty axis; a kernel would have no place to move it to.
    if ((n.as<ops::Gather>() || n.as<ops::GatherElements>() || n.as<ops::GatherNd>()))
      for (const Dim& d : p.in(0).shape)
        if (d.is(0)) return "an empty operand";
    if (n.as<ops::Pad>()) {
      if (!p.constant(1) && !p.in(1).values) return "the pads are computed at run time";
      if (n.has(3) && !p.constant(3)) return "the axes are computed at run time";
      for (const Dim& d : p.in(0).shape)
        if (d.is(0) && n.as<ops::Pad>()->mode != "constant") return "an empty operand";
    }
    if (n.as<ops::ScatterElements>() && p.in(0).shape.empty()) return "a scalar";
    auto candidate = build(p);
    return candidate ? "" : candidate.error().message;
  }
  Result<Candidate> build(const Problem& p, const Config&) const override { return find(p.node)(p); }
};

}  // namespace

CARNOT_TACTICS(cuda, index, IndexTactic)

}  // namespace carnot::tactics
