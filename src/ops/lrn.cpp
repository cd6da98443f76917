// SPDX-License-Identifier: Apache-2.0
#include "ops/lrn.hpp"

#include <algorithm>
#include <cmath>

#include "ops/support_check.hpp"

namespace carnot::ops {

Result<Facts> Lrn::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  if (ctx.rank(0) < 2)
    return invalid("{} must have batch and channels, got shape {}", operand(info, 0), to_string(ctx.shape(0)));
  if (size < 1 || size > (int64_t{1} << 30)) return invalid("attribute 'size' is {}; it must be positive", size);
  return Facts{{ctx.dtype(0), ctx.shape(0)}};
}

Status Lrn::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(const auto x, to_doubles(ctx.in[0]));
  const AxisSplit s = split_at(ctx.in[0].dims, 1);
  std::vector<double> y(x.size());
  for (int64_t n = 0; n < s.outer; ++n)
    for (int64_t c = 0; c < s.extent; ++c)
      for (int64_t i = 0; i < s.inner; ++i) {
        auto at = [&](int64_t channel) { return static_cast<size_t>((n * s.extent + channel) * s.inner + i); };
        double sum = 0;
        for (int64_t k = std::max<int64_t>(0, c - (size - 1) / 2); k <= std::min(s.extent - 1, c + size / 2); ++k)
          sum += x[at(k)] * x[at(k)];
        y[at(c)] = x[at(c)] / std::pow(bias + alpha / static_cast<double>(size) * sum, beta);
      }
  store(ctx.out[0], y);
  return {};
}

CARNOT_DEFINE_OPS(lrn, Lrn)

}  // namespace carnot::ops
