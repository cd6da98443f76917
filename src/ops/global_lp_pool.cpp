// SPDX-License-Identifier: Apache-2.0
#include "ops/global_lp_pool.hpp"

#include <cmath>
#include <limits>

#include "ops/support_pool.hpp"

namespace carnot::ops {

Result<Facts> GlobalLpPool::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  if (p < 1) return invalid("attribute 'p' is {}; it must be positive", p);
  CARNOT_ASSIGN(Shape y, global_pool_shape(layout, info, ctx.shape(0)));
  return Facts{{ctx.dtype(0), std::move(y)}};
}

Status GlobalLpPool::evaluate(EvalCtx& ctx) const {
  return global_pool(ctx, layout, [this](std::span<const double> plane) {
    double sum = 0;
    for (double v : plane) sum += std::pow(std::abs(v), static_cast<double>(p));
    return std::pow(sum, 1.0 / static_cast<double>(p));
  });
}

std::optional<GlobalLpPool> GlobalLpPool::permuted(const std::vector<int64_t>& perm) const {
  auto to = permuted_layout(layout, perm);
  if (!to) return std::nullopt;
  GlobalLpPool other = *this;
  other.layout = *to;
  return other;
}

CARNOT_DEFINE_OPS(global_lp_pool, GlobalLpPool)

}  // namespace carnot::ops
