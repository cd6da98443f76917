// SPDX-License-Identifier: Apache-2.0
// reduce_* over any axes, arg_max and arg_min, global pools.
#include <algorithm>
#include <limits>

#include "ops/arg_max.hpp"
#include "ops/global_average_pool.hpp"
#include "ops/global_max_pool.hpp"
#include "tactics/attributes.hpp"
#include "tactics/cuda/support_rows.hpp"
#include "tactics/cuda/support_text.hpp"

namespace carnot::tactics {
namespace {
using namespace cuda;

std::optional<std::vector<bool>> folded_axes(const Problem& p) {
  const auto axes = reduced_axes(p);
  if (!axes) return std::nullopt;
  std::vector<bool> folded(p.in(0).shape.size(), false);
  for (const int64_t a : *axes) folded[static_cast<size_t>(a)] = true;
  return folded;
}

// acc = op(acc, element(v)) from `none` on, then `result` of acc.
struct Fold {
  std::string type, op = "Sum", none, element = "v", result = "acc";
};

std::string lowest(DType t, bool greatest) {
  std::string out;
  dispatch_dtype(t, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_same_v<T, bool>) out = greatest ? "1" : "0";
    else if constexpr (std::is_integral_v<T>) out = std::is_same_v<T, int64_t> && !greatest ? "(-9223372036854775807LL - 1)" : greatest ? fmt::format("{}{}", std::numeric_limits<T>::max(), sizeof(T) == 8 ? "ULL" : "LL") : fmt::format("({}LL)", std::numeric_limits<T>::min());
    else out = greatest ? "INFINITY" : "-INFINITY";
  });
  return out;
}

Fold fold_of(std::string_view kind, DType t) {
  Fold f{.type = compute_type(t)};
  const bool real = is_float(t);
  if (!real && (kind == "mean" || kind == "l2" || kind.starts_with("log_"))) f.type = "double";
  else if (!real && kind != "max" && kind != "min") f.type = "unsigned long long";
  f.none = fmt::format("({})0", f.type);
  if (kind == "max" || kind == "min") {
    f.op = kind == "max" ? "Max" : "Min";
    f.none = fmt::format("({}){}", f.type, lowest(t, kind == "min"));
  } else if (kind == "prod") {
    f.op = "Prod";
    f.none = fmt::format("({})1", f.type);
  } else if (kind == "l1") {
    f.element = t == DType::kU64 ? "v" : real ? "(v < 0 ? -v : v)" : fmt::format("(({})(long long)v < 0 ? 0 - v : v)", "long long");
  } else if (kind == "l2" || kind == "sum_square") {
    f.element = "v * v";
    if (kind == "l2") f.result = f.type == "float" ? "sqrtf(acc)" : "sqrt(acc)";
  } else if (kind == "log_sum") {
    f.result = f.type == "float" ? "logf(acc)" : "log(acc)";
  } else if (kind == "log_sum_exp") {
    f.element = f.type == "float" ? "expf(v - most)" : "exp(v - most)";
    f.result = (f.type == "float" ? std::string("logf(acc)") : std::string("log(acc)")) + " + most";
  }
  return f;
}

Result<Candidate> reduce(const Problem& p, std::string_view kind, const std::vector<bool>& folded) {
  Kernel k(p);
  k.input("x", 0);
  k.output("y");
  k.helper("reductions", std::string(text_of_reductions()));
  const DType t = p.in(0).dtype;
  const Rows r(k.in_shape(0), folded);
  const Fold f = fold_of(kind, t);
  k.body = r.head(k);
  const int64_t lanes = 16 / static_cast<int64_t>(dtype_size(t));
  const bool wide = r.contiguous && !r.columns && r.length.is_constant() && lanes > 1 && r.length.value() % lanes == 0 && r.length.value() >= lanes * r.group;
  auto loop = [&](const std::string& body) {
    const std::string one = fmt::format("  for (I f = lane; f < length; f += kGroup) {{\n{}    const {} v = ({})up(x[base + {}]);\n    {}\n  }}\n", r.step(k), f.type, f.type, r.at(k), body);
    if (!wide) return std::string(r.columns ? "#pragma unroll 16\n" : "#pragma unroll 4\n") + one;
    return fmt::format("  if (aligned<{}>(x)) {{\n#pragma unroll 2\n  for (I q = lane; q < length / {}; q += kGroup) {{\n    const auto pack = load<{}>(x + base + q * {});\n#pragma unroll\n"
                       "    for (int j = 0; j < {}; ++j) {{\n      const {} v = ({})up(pack.v[j]);\n      {}\n    }}\n  }}\n  }} else {{\n{}  }}\n",
                       lanes, lanes, lanes, lanes, lanes, f.type, f.type, body, one);
  };
  if (kind == "log_sum_exp") {
    k.body += fmt::format("  {} most = -({})INFINITY;\n", f.type, f.type) + loop("most = Max::of(most, v);") + r.fold("most", "Max", fmt::format("-({})INFINITY", f.type));
    k.body += fmt::format("  if (most - most != ({})0) most = 0;\n", f.type);
  }
  k.body += fmt::format("  {} acc = {};\n", f.type, f.none) + loop(fmt::format("acc = {}::of(acc, ({})({}));", f.op, f.type, f.element)) + r.fold("acc", f.op, f.none);
  std::string result = f.result;
  if (kind == "mean") result = fmt::format("acc / ({}){}", f.type, k.value(r.length));
  // Numbers that were folded as doubles become integers as in a cast.
  if (!is_float(t) && f.type == "double") {
    k.helper("pointwise", std::string(text_of_pointwise()));
    result = fmt::format("pw::to_i64({})", result);
  }
  k.body += fmt::format("  if (live && lane == 0) y[row] = down<{}>({});\n", storage_type(t), result);
  return k.finish("reduce", r.grid());
}

class ReduceTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.reduce"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    if (!p.op().name().starts_with("reduce_")) return "other operator";
    if (storage_type(p.in(0).dtype).empty()) return "dtype";
    return folded_axes(p) ? "" : "the axes are computed at run time";
  }
  Result<Candidate> build(const Problem& p, const Config&) const override { return reduce(p, p.op().name().substr(7), *folded_axes(p)); }
};

class GlobalPoolTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.global_pool"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    if (!p.node.as<ops::GlobalAveragePool>() && !p.node.as<ops::GlobalMaxPool>()) return "other operator";
    return is_float(p.in(0).dtype) ? "" : "no float";
  }
  Result<Candidate> build(const Problem& p, const Config&) const override {
    const auto* average = p.node.as<ops::GlobalAveragePool>();
    const std::string& layout = average ? average->layout : p.node.as<ops::GlobalMaxPool>()->layout;
    std::vector<bool> folded(p.in(0).shape.size(), true);
    folded[0] = false;
    folded[layout == "nhwc" ? folded.size() - 1 : 1] = false;
    return reduce(p, average ? "mean" : "max", folded);
  }
};

class ArgTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.arg"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    if (!p.node.as<ops::ArgMax>() && !p.node.as<ops::ArgMin>()) return "other operator";
    if (p.in(0).shape.empty()) return "a scalar";
    return storage_type(p.in(0).dtype).empty() ? "dtype" : "";
  }
  Result<Candidate> build(const Problem& p, const Config&) const override {
    const auto* most = p.node.as<ops::ArgMax>();
    const auto* least = p.node.as<ops::ArgMin>();
    const int64_t axis = *normalize_axis(most ? most->axis : least->axis, p.in(0).shape.size());
    const bool last = most ? most->select_last_index : least->select_last_index;
    Kernel k(p);
    k.input("x", 0);
    k.output("y");
    std::vector<bool> folded(p.in(0).shape.size(), false);
    folded[static_cast<size_t>(axis)] = true;
    const std::string type = compute_type(p.in(0).dtype);
    Rows r(k.in_shape(0), folded);
    // The first NaN wins; among equals the first, or the last. A place below 0 is none.
    k.helper("better", fmt::format("static __device__ __forceinline__ bool better({} a, long long i, {} b, long long j) {{\n  if (j < 0) return false;\n  if (i < 0) return true;\n"
                                   "  if (a != a) return b != b && j < i;\n  if (b != b) return true;\n  return b {} a || (b == a && j {} i);\n}}\n",
                                   type, type, most ? ">" : "<", last ? ">" : "<"));
    if (!r.columns && r.group != 32) r.group = 32;
    k.body = r.head(k) + fmt::format("  {} best = 0;\n  long long place = -1;\n", type);
    k.body += fmt::format("  for (I f = lane; f < length; f += kGroup) {{\n    const {} v = up(x[base + {}]);\n    if (better(best, place, v, (long long)f)) best = v, place = (long long)f;\n  }}\n", type, r.at(k));
    if (r.columns) {
      k.body += fmt::format("  __shared__ {} bests[{}][33];\n  __shared__ long long places[{}][33];\n  bests[threadIdx.y][threadIdx.x] = best;\n  places[threadIdx.y][threadIdx.x] = place;\n"
                            "  __syncthreads();\n  for (int i = 0; i < {}; ++i)\n    if (better(best, place, bests[i][threadIdx.x], places[i][threadIdx.x])) best = bests[i][threadIdx.x], place = places[i][threadIdx.x];\n",
                            type, r.group, r.group, r.group);
    } else {
      k.body += fmt::format("  for (int s = 16; s > 0; s /= 2) {{\n    const {} other = __shfl_xor_sync(0xffffffffu, best, s);\n    const long long at = __shfl_xor_sync(0xffffffffu, place, s);\n"
                            "    if (better(best, place, other, at)) best = other, place = at;\n  }}\n", type);
    }
    k.body += "  if (live && lane == 0) y[row] = place;\n";
    return k.finish("arg", r.grid());
  }
};

}  // namespace

CARNOT_TACTICS(cuda, reduce, ReduceTactic, GlobalPoolTactic, ArgTactic)

}  // namespace carnot::tactics
