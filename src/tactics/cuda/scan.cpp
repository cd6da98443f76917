// SPDX-License-Identifier: Apache-2.0
// cumsum and cumprod, and topk of few: what goes through an axis in order.
#include "ops/cumsum.hpp"
#include "ops/topk.hpp"
#include "tactics/cuda/support_kernel.hpp"

namespace carnot::tactics {
namespace {
using namespace cuda;

struct Axis {
  Dim outer = 1, length, inner = 1;
  Axis(const Shape& x, size_t axis) : length(x[axis]) {
    for (size_t i = 0; i < x.size(); ++i) {
      if (i < axis) outer = outer * x[i];
      if (i > axis) inner = inner * x[i];
    }
  }
};

class CumulateTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.cumulate"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    if (!p.node.as<ops::CumSum>() && !p.node.as<ops::CumProd>()) return "other operator";
    if (storage_type(p.in(0).dtype).empty() || p.in(0).dtype == DType::kBool) return "dtype";
    if (p.in(0).shape.empty()) return "a scalar";
    const Constant* axis = p.constant(1);
    return axis && axis->size() == 1 ? "" : "the axis is computed at run time";
  }
  Result<Candidate> build(const Problem& p, const Config&) const override {
    const auto* sum = p.node.as<ops::CumSum>();
    const auto* product = p.node.as<ops::CumProd>();
    const bool exclusive = sum ? sum->exclusive : product->exclusive, reverse = sum ? sum->reverse : product->reverse;
    CARNOT_ASSIGN(const auto axes, to_int64s(p.constant(1)->view()));
    CARNOT_ASSIGN(const int64_t axis, normalize_axis(axes[0], p.in(0).shape.size()));
    Kernel k(p);
    k.input("x", 0);
    k.output("y");
    const Axis a(k.in_shape(0), static_cast<size_t>(axis));
    const std::string type = compute_type(p.in(0).dtype), n = k.value(a.length), inner = k.value(a.inner), store = storage_type(p.in(0).dtype), op = sum ? "+" : "*", none = sum ? "0" : "1";
    // A warp walks along a row, 32 elements at a time; each takes over what the ones before it hold.
    k.body = fmt::format("  const I row = (I)blockIdx.x * 8 + (I)threadIdx.x / 32, lane = (I)threadIdx.x % 32;\n  const bool live = row < {};\n  const I o = quotient<I>(row, {}), base = o * {} * {} + row - o * {};\n  {} carry = {};\n", k.value(a.outer * a.inner), inner,
                         n, inner, inner, type, none);
    k.body += fmt::format("  for (I first = 0; first < {}; first += 32) {{\n    const I i = first + lane, f = {};\n    const bool inside = live && i < {};\n    const {} own = inside ? up(x[base + f * {}]) : ({}){};\n    {} total = own;\n"
                          "    for (int step = 1; step < 32; step *= 2) {{\n      const {} before = __shfl_up_sync(0xffffffffu, total, step);\n      if (lane >= step) total = before {} total;\n    }}\n"
                          "    {} earlier = __shfl_up_sync(0xffffffffu, total, 1);\n    if (lane == 0) earlier = {};\n    if (inside) y[base + f * {}] = down<{}>(carry {} {});\n    carry = carry {} __shfl_sync(0xffffffffu, total, 31);\n  }}\n",
                          n, reverse ? n + " - 1 - i" : "i", n, type, inner, type, none, type, type, op, type, none, inner, store, op, exclusive ? "earlier" : "total", op);
    return k.finish("cumulate", {.x = Dim::ceildiv(a.outer * a.inner, 8)});
  }
};

// One block a row: k times the best of what comes after the last one taken.
class TopKTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.topk"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    const auto* op = p.node.as<ops::TopK>();
    if (!op) return "other operator";
    if (storage_type(p.in(0).dtype).empty() || p.in(0).shape.empty()) return "dtype or a scalar";
    const Dim& k = p.out().shape[static_cast<size_t>(*normalize_axis(op->axis, p.in(0).shape.size()))];
    if (p.node.outputs.size() != 2) return "one result";
    return k.is_constant() && k.value() <= 128 ? "" : "more than 128, or a number that is known at run time";
  }
  Result<Candidate> build(const Problem& p, const Config&) const override {
    const auto& op = *p.node.as<ops::TopK>();
    const auto axis = static_cast<size_t>(*normalize_axis(op.axis, p.in(0).shape.size()));
    Kernel k(p);
    k.input("x", 0);
    k.output("values"), k.output("places");
    const Axis a(k.in_shape(0), axis);
    const std::string type = compute_type(p.in(0).dtype), n = k.value(a.length), inner = k.value(a.inner), store = storage_type(p.in(0).dtype);
    const int64_t count = p.out().shape[axis].value();
    // Whether (b, j) comes before (a, i). NaN counts as larger than any number.
    k.helper("before", fmt::format("static __device__ __forceinline__ bool before({} b, long long j, {} a, long long i) {{\n  if (a != a || b != b) return (a != a) == (b != b) ? j < i : (b != b) == {};\n  return b {} a || (b == a && j < i);\n}}\n", type, type,
                                   op.largest ? "true" : "false", op.largest ? ">" : "<"));
    k.body = fmt::format("  __shared__ {} best_values[8];\n  __shared__ long long best_places[8];\n  const I row = (I)blockIdx.x, o = quotient<I>(row, {}), in = row - o * {}, base = o * {} * {} + in;\n  {} last = 0;\n  long long last_place = -1;\n", type, inner, inner, n, inner, type);
    k.body += fmt::format("  for (int r = 0; r < {}; ++r) {{\n    {} best = 0;\n    long long place = -1;\n    for (I f = (I)threadIdx.x; f < {}; f += 256) {{\n      const {} v = up(x[base + f * {}]);\n      if (last_place >= 0 && !before(last, last_place, v, (long long)f)) continue;\n      if (place < 0 || before(v, (long long)f, best, place)) best = v, place = (long long)f;\n    }}\n",
                          count, type, n, type, inner);
    k.body += fmt::format("    for (int s = 16; s > 0; s /= 2) {{\n      const {} other = __shfl_xor_sync(0xffffffffu, best, s);\n      const long long at = __shfl_xor_sync(0xffffffffu, place, s);\n      if (at >= 0 && (place < 0 || before(other, at, best, place))) best = other, place = at;\n    }}\n", type);
    k.body += "    __syncthreads();\n    if (threadIdx.x % 32 == 0) best_values[threadIdx.x / 32] = best, best_places[threadIdx.x / 32] = place;\n    __syncthreads();\n"
              "    best = best_values[0], place = best_places[0];\n    for (int w = 1; w < 8; ++w)\n      if (best_places[w] >= 0 && (place < 0 || before(best_values[w], best_places[w], best, place))) best = best_values[w], place = best_places[w];\n";
    k.body += fmt::format("    last = best, last_place = place;\n    if (threadIdx.x == 0) {{\n      const I at = (o * {} + r) * {} + in;\n      if (values) values[at] = down<{}>(best);\n      if (places) places[at] = place;\n    }}\n  }}\n", count, inner, store);
    return k.finish("topk", {.x = a.outer * a.inner});
  }
};

}  // namespace

CARNOT_TACTICS(cuda, scan, CumulateTactic, TopKTactic)

}  // namespace carnot::tactics
