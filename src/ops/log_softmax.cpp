// SPDX-License-Identifier: Apache-2.0
#include "ops/log_softmax.hpp"

#include <cmath>
#include <limits>

#include "ops/support_check.hpp"

namespace carnot::ops {

Result<Facts> LogSoftmax::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  CARNOT_RETURN_IF_ERROR(normalize_axis(axis, ctx.rank(0)));
  return Facts{{ctx.dtype(0), ctx.shape(0)}};
}

Status LogSoftmax::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(auto y, to_doubles(ctx.in[0]));
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, ctx.in[0].rank()));
  const AxisSplit s = split_at(ctx.in[0].dims, a);
  for (int64_t o = 0; o < s.outer; ++o)
    for (int64_t i = 0; i < s.inner; ++i) {
      double* row = y.data() + o * s.extent * s.inner + i;
      auto at = [&](int64_t k) -> double& { return row[k * s.inner]; };
      double most = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t k = 0; k < s.extent; ++k) most = std::fmax(most, at(k));
      for (int64_t k = 0; k < s.extent; ++k) sum += std::exp(at(k) - most);
      for (int64_t k = 0; k < s.extent; ++k) at(k) = at(k) - most - std::log(sum);
    }
  store(ctx.out[0], y);
  return {};
}

std::optional<LogSoftmax> LogSoftmax::permuted(const std::vector<int64_t>& perm) const {
  auto to = permuted_axis(axis, perm);
  if (!to) return std::nullopt;
  return LogSoftmax{.axis = *to};
}

CARNOT_DEFINE_OPS(log_softmax, LogSoftmax)

}  // namespace carnot::ops
