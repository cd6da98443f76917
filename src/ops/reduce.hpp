// SPDX-License-Identifier: Apache-2.0
// y = x folded over `axes` (attribute, or second input): sum, mean, max, min, prod, l1 = sum|x|, l2 = sqrt(sum x^2),
// log_sum = log(sum x), log_sum_exp = log(sum exp x), sum_square = sum x^2. Without axes all are folded, or none with
// noop_with_empty_axes. Source: ONNX ReduceSum, ReduceMean ... 1, 11, 13, 18, 20.
#pragma once
#include "ops/operator.hpp"

namespace carnot::ops {

enum class Reduction { kSum, kMean, kMax, kMin, kProd, kL1, kL2, kLogSum, kLogSumExp, kSumSquare };

// Attributes and rules of all ten.
struct ReduceBase {
  std::optional<std::vector<int64_t>> axes;
  int64_t keepdims = 1, noop_with_empty_axes = 0;
  bool operator==(const ReduceBase&) const = default;
  Result<Facts> infer_as(Reduction kind, const OpInfo& info, const InferCtx& ctx) const;
  Status evaluate_as(Reduction kind, EvalCtx& ctx) const;
  // Only with axes as an attribute and keepdims: without, the result has other axes.
  std::optional<ReduceBase> permuted_base(const std::vector<int64_t>& perm) const;
};

constexpr OpInfo reduce_info(Reduction kind) {
  constexpr std::string_view names[] = {"reduce_sum",         "reduce_mean",      "reduce_max", "reduce_min",
                                        "reduce_prod",        "reduce_l1",        "reduce_l2",  "reduce_log_sum",
                                        "reduce_log_sum_exp", "reduce_sum_square"};
  constexpr std::string_view onnx[] = {"ReduceSum", "ReduceMean", "ReduceMax",    "ReduceMin",       "ReduceProd",
                                       "ReduceL1",  "ReduceL2",   "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"};
  const auto i = static_cast<size_t>(kind);
  return {.name = names[i], .inputs = {"x", "axes?"}, .onnx = {{onnx[i]}}};
}

template <Reduction kKind>
struct Reduce : ReduceBase {
  static constexpr OpInfo info = reduce_info(kKind);
  static constexpr Reduction kind = kKind;
  static constexpr auto fields() {
    return std::tuple{field("axes", &ReduceBase::axes), field("keepdims", &ReduceBase::keepdims),
                      field("noop_with_empty_axes", &ReduceBase::noop_with_empty_axes)};
  }
  bool operator==(const Reduce&) const = default;
  Result<Facts> infer(const InferCtx& ctx) const { return infer_as(kKind, info, ctx); }
  Status evaluate(EvalCtx& ctx) const { return evaluate_as(kKind, ctx); }
  std::optional<Reduce> permuted(const std::vector<int64_t>& perm) const {
    auto base = permuted_base(perm);
    if (!base) return std::nullopt;
    return Reduce{std::move(*base)};
  }
};

using ReduceSum = Reduce<Reduction::kSum>;
using ReduceMean = Reduce<Reduction::kMean>;
using ReduceMax = Reduce<Reduction::kMax>;
using ReduceMin = Reduce<Reduction::kMin>;
using ReduceProd = Reduce<Reduction::kProd>;
using ReduceL1 = Reduce<Reduction::kL1>;
using ReduceL2 = Reduce<Reduction::kL2>;
using ReduceLogSum = Reduce<Reduction::kLogSum>;
using ReduceLogSumExp = Reduce<Reduction::kLogSumExp>;
using ReduceSumSquare = Reduce<Reduction::kSumSquare>;

}  // namespace carnot::ops
