// SPDX-License-Identifier: Apache-2.0
#include "ops/shape.hpp"

#include <algorithm>

namespace carnot::ops {

namespace {
std::pair<int64_t, int64_t> range(int64_t start, std::optional<int64_t> end, int64_t rank) {
  const int64_t a = std::clamp<int64_t>(start < 0 ? start + rank : start, 0, rank);
  const int64_t e = end.value_or(rank);
  const int64_t b = std::clamp<int64_t>(e < 0 ? e + rank : e, 0, rank);
  return {a, std::max(a, b)};
}
}  // namespace

Result<Facts> ShapeOf::infer(const InferCtx& ctx) const {
  const auto [a, b] = range(start, end, static_cast<int64_t>(ctx.rank(0)));
  return Facts{{DType::kI64, {Dim(b - a)}, std::vector<Dim>(ctx.shape(0).begin() + a, ctx.shape(0).begin() + b)}};
}

Status ShapeOf::evaluate(EvalCtx& ctx) const {
  const auto [a, b] = range(start, end, static_cast<int64_t>(ctx.in[0].rank()));
  std::copy(ctx.in[0].dims.begin() + a, ctx.in[0].dims.begin() + b, ctx.out[0].as<int64_t>());
  return {};
}

CARNOT_DEFINE_OPS(shape, ShapeOf)

}  // namespace carnot::ops
