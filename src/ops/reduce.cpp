// SPDX-License-Identifier: Apache-2.0
#include "ops/reduce.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/support_check.hpp"

namespace carnot::ops {

namespace {
bool orders(Reduction kind) { return kind == Reduction::kMax || kind == Reduction::kMin; }

// Which axes are folded. `given`: from the attribute or input; none = not given.
Result<std::vector<bool>> folded_axes(const ReduceBase& op, const std::optional<std::vector<int64_t>>& given,
                                      size_t rank) {
  if (!given || given->empty()) return std::vector<bool>(rank, op.noop_with_empty_axes == 0);
  std::vector<bool> folded(rank, false);
  for (int64_t axis : *given) {
    CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, rank));
    folded[static_cast<size_t>(a)] = true;
  }
  return folded;
}

// One folding over T (double, or an integer type whose arithmetic wraps).
template <typename T>
struct Fold {
  static T begin(Reduction kind) {
    using Limits = std::numeric_limits<T>;
    if (kind == Reduction::kProd) return T(1);
    if (kind == Reduction::kMax) return Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
    if (kind == Reduction::kMin) return Limits::has_infinity ? Limits::infinity() : Limits::max();
    return T(0);
  }
  static T step(Reduction kind, T acc, T v, T most) {
    switch (kind) {
      case Reduction::kProd:
        return acc * v;
      // NaN is passed on, like numpy does.
      case Reduction::kMax:
        return v > acc || v != v ? v : acc;
      case Reduction::kMin:
        return v < acc || v != v ? v : acc;
      case Reduction::kL1:
        if constexpr (std::is_unsigned_v<T>)
          return acc + v;
        else
          return acc + (v < 0 ? -v : v);
      case Reduction::kL2:
      case Reduction::kSumSquare:
        return acc + v * v;
      case Reduction::kLogSumExp:
        return acc + static_cast<T>(std::exp(static_cast<double>(v - most)));
      default:
        return acc + v;
    }
  }
};

// Walks x row-major; `to[i]` is the output element that input element i folds into.
template <typename T>
std::vector<T> fold(Reduction kind, std::span<const T> x, const std::vector<size_t>& to, size_t size) {
  std::vector<T> most(kind == Reduction::kLogSumExp ? size : 0, Fold<T>::begin(Reduction::kMax));
  if (kind == Reduction::kLogSumExp) {  // exp(x - max) does not overflow
    for (size_t i = 0; i < x.size(); ++i) most[to[i]] = std::max(most[to[i]], x[i]);
    if constexpr (std::is_floating_point_v<T>)
      for (T& m : most)
        if (std::isinf(m)) m = 0;
  }
  std::vector<T> y(size, Fold<T>::begin(kind));
  for (size_t i = 0; i < x.size(); ++i)
    y[to[i]] = Fold<T>::step(kind, y[to[i]], x[i], most.empty() ? T(0) : most[to[i]]);
  if (kind == Reduction::kLogSumExp)
    for (size_t i = 0; i < size; ++i) y[i] = static_cast<T>(std::log(static_cast<double>(y[i]))) + most[i];
  return y;
}
}  // namespace

Result<Facts> ReduceBase::infer_as(Reduction kind, const OpInfo& info, const InferCtx& ctx) const {
  if (!(orders(kind) && ctx.dtype(0) == DType::kBool)) CARNOT_RETURN_IF_ERROR(expect_number(ctx, info, 0));
  if (ctx.has(1)) CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 1, DType::kI64));
  if (ctx.has(1)) CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 1, 1));
  if (ctx.has(1) && axes) return invalid("axes are given twice, as attribute and as input");
  const Shape& x = ctx.shape(0);
  std::optional<std::vector<int64_t>> given = axes;
  if (ctx.has(1)) {
    given = ctx.ints(1);
    if (!given) {  // only the run can tell which axes
      const Dim& count = ctx.shape(1)[0];
      if (!keepdims && !count.is_constant())
        return invalid("{} must be known to know the rank of the result", operand(info, 1));
      const int64_t removed = keepdims                                      ? 0
                              : count.value() == 0 && !noop_with_empty_axes ? static_cast<int64_t>(x.size())
                                                                            : count.value();
      if (removed > static_cast<int64_t>(x.size()))
        return invalid("{} lists {} axes, but x has rank {}", operand(info, 1), removed, x.size());
      Shape unknown;
      for (size_t i = static_cast<size_t>(removed); i < x.size(); ++i) unknown.push_back(ctx.fresh("reduced"));
      return Facts{{ctx.dtype(0), unknown}};
    }
  }
  CARNOT_ASSIGN(const auto folded, folded_axes(*this, given, x.size()));
  Shape y;
  for (size_t i = 0; i < x.size(); ++i) {
    if (!folded[i]) y.push_back(x[i]);
    if (folded[i] && keepdims) y.push_back(1);
  }
  return Facts{{ctx.dtype(0), std::move(y)}};
}

Status ReduceBase::evaluate_as(Reduction kind, EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  std::optional<std::vector<int64_t>> given = axes;
  if (ctx.has(1)) {
    CARNOT_ASSIGN(given, to_int64s(ctx.in[1]));
  }
  CARNOT_ASSIGN(const auto folded, folded_axes(*this, given, x.rank()));
  Dims y_dims, kept;  // kept: with folded axes as 1
  for (size_t i = 0; i < x.rank(); ++i) {
    kept.push_back(folded[i] ? 1 : x.dims[i]);
    if (!folded[i] || keepdims) y_dims.push_back(kept.back());
  }
  CARNOT_RETURN_IF_ERROR(ctx.allocate(0, y_dims));
  const Dims strides = strides_of(kept);
  const auto size = static_cast<size_t>(size_of(kept));
  std::vector<size_t> to(static_cast<size_t>(x.size()));
  for (size_t i = 0; i < to.size(); ++i) {
    auto rest = static_cast<int64_t>(i);
    int64_t at = 0;
    for (size_t k = x.rank(); k-- > 0; rest /= x.dims[k])
      if (!folded[k]) at += rest % x.dims[k] * strides[k];
    to[i] = static_cast<size_t>(at);
  }
  const bool exact = kind == Reduction::kSum || kind == Reduction::kProd || orders(kind) || kind == Reduction::kL1 ||
                     kind == Reduction::kSumSquare;
  if (!is_float(x.dtype) && exact) {
    // Unsigned arithmetic: wraps as numpy does, and holds every dtype's order except that of signed numbers.
    if (orders(kind) && x.dtype != DType::kU64) {
      CARNOT_ASSIGN(const auto values, to_int64s(x));
      auto y = fold<int64_t>(kind, values, to, size);
      if (x.size() == 0)  // the least (greatest) value of the dtype itself
        dispatch_dtype(x.dtype, [&](auto tag) {
          using T = typename decltype(tag)::type;
          if constexpr (std::is_integral_v<T>)
            std::fill(y.begin(), y.end(), static_cast<int64_t>(Fold<T>::begin(kind)));
        });
      store(ctx.out[0], y);
      return {};
    }
    CARNOT_ASSIGN(const auto signed_values, to_int64s(x));
    std::vector<uint64_t> values(signed_values.begin(), signed_values.end());
    if (kind == Reduction::kL1 && x.dtype != DType::kU64)
      for (size_t i = 0; i < values.size(); ++i)
        if (signed_values[i] < 0) values[i] = 0 - values[i];
    const auto y = fold<uint64_t>(kind, values, to, size);
    store(ctx.out[0], std::vector<int64_t>(y.begin(), y.end()));
    return {};
  }
  CARNOT_ASSIGN(const auto values, to_doubles(x));
  auto y = fold<double>(kind, values, to, size);
  const double count = size ? static_cast<double>(values.size()) / static_cast<double>(size) : 0;
  for (double& v : y) {
    if (kind == Reduction::kMean) v /= count;
    if (kind == Reduction::kL2) v = std::sqrt(v);
    if (kind == Reduction::kLogSum) v = std::log(v);
  }
  store(ctx.out[0], y);
  return {};
}

std::optional<ReduceBase> ReduceBase::permuted_base(const std::vector<int64_t>& perm) const {
  if (!axes || !keepdims) return std::nullopt;
  ReduceBase other = *this;
  for (int64_t& axis : *other.axes) {
    auto to = permuted_axis(axis, perm);
    if (!to) return std::nullopt;
    axis = *to;
  }
  std::sort(other.axes->begin(), other.axes->end());
  return other;
}

CARNOT_DEFINE_OPS(reduce, ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd, ReduceL1, ReduceL2, ReduceLogSum,
                  ReduceLogSumExp, ReduceSumSquare)

}  // namespace carnot::ops
