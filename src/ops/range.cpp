// SPDX-License-Identifier: Apache-2.0
#include "ops/range.hpp"

#include <algorithm>
#include <cmath>

namespace carnot::ops {

namespace {
Result<int64_t> count_of(const TensorView& start, const TensorView& limit, const TensorView& delta) {
  if (start.size() != 1 || limit.size() != 1 || delta.size() != 1) return invalid("start, limit and delta must be scalars");
  if (is_integer(start.dtype)) {
    CARNOT_ASSIGN(const auto a, to_int64s(start));
    CARNOT_ASSIGN(const auto b, to_int64s(limit));
    CARNOT_ASSIGN(const auto d, to_int64s(delta));
    if (d[0] == 0) return invalid("input 2 ('delta') is 0");
    const __int128 gap = static_cast<__int128>(b[0]) - a[0];
    const __int128 n = d[0] > 0 ? (gap > 0 ? (gap + d[0] - 1) / d[0] : 0) : (gap < 0 ? (gap + d[0] + 1) / d[0] : 0);
    if (n > (int64_t{1} << 40)) return invalid("the range from {} to {} by {} is too long", a[0], b[0], d[0]);
    return static_cast<int64_t>(n);
  }
  CARNOT_ASSIGN(const auto a, to_doubles(start));
  CARNOT_ASSIGN(const auto b, to_doubles(limit));
  CARNOT_ASSIGN(const auto d, to_doubles(delta));
  const double n = std::ceil((b[0] - a[0]) / d[0]);
  if (d[0] == 0 || !(std::abs(n) < 1e12)) return invalid("the range from {} to {} by {} has no sensible length", a[0], b[0], d[0]);
  return std::max<int64_t>(0, static_cast<int64_t>(n));
}
}  // namespace

Result<Facts> Range::infer(const InferCtx& ctx) const {
  ValueFacts out{ctx.dtype(0), {}};
  if (ctx.dtype(1) != out.dtype || ctx.dtype(2) != out.dtype) return invalid("start, limit and delta must have one dtype");
  if (ctx.constant(0) && ctx.constant(1) && ctx.constant(2)) {
    CARNOT_ASSIGN(const int64_t n, count_of(*ctx.constant(0), *ctx.constant(1), *ctx.constant(2)));
    out.shape = {Dim(n)};
  }
  if (is_integer(out.dtype)) {
    const auto a = ctx.values(0), b = ctx.values(1), d = ctx.values(2);
    if (a && b && d && a->size() == 1 && b->size() == 1 && d->size() == 1 && (*d)[0].is_constant() && (*d)[0].value() > 0) {
      const Dim length = (*b)[0] - (*a)[0];
      const auto least = length.lower_bound();
      const Dim n = Dim::ceildiv(least && *least >= 0 ? length : Dim::max(length, Dim(0)), (*d)[0]);
      out.shape = {n};
      if (n.is_constant() && n.value() <= kMaxTrackedValues) {
        std::vector<Dim> values;
        for (int64_t i = 0; i < n.value(); ++i) values.push_back((*a)[0] + Dim(i) * (*d)[0]);
        out.values = std::move(values);
      }
    }
  }
  if (out.shape.empty()) out.shape = {ctx.fresh("range")};
  return Facts{std::move(out)};
}

Status Range::evaluate(EvalCtx& ctx) const {
  TensorView& y = ctx.out[0];
  CARNOT_ASSIGN(const int64_t n, count_of(ctx.in[0], ctx.in[1], ctx.in[2]));
  if (n != y.size()) return invalid("the range has {} elements, {} were expected", n, y.size());
  dispatch_dtype(y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T start = *ctx.in[0].as<T>(), delta = *ctx.in[2].as<T>();
    for (int64_t i = 0; i < n; ++i) y.as<T>()[i] = static_cast<T>(start + static_cast<T>(i) * delta);
  });
  return {};
}

CARNOT_DEFINE_OPS(range, Range)

}  // namespace carnot::ops
