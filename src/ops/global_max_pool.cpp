// SPDX-License-Identifier: Apache-2.0
#include "ops/global_max_pool.hpp"

#include <cmath>
#include <limits>

#include "ops/support_pool.hpp"

namespace carnot::ops {

Result<Facts> GlobalMaxPool::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  CARNOT_ASSIGN(Shape y, global_pool_shape(layout, info, ctx.shape(0)));
  return Facts{{ctx.dtype(0), std::move(y)}};
}

Status GlobalMaxPool::evaluate(EvalCtx& ctx) const {
  return global_pool(ctx, layout, [](std::span<const double> plane) {
    double best = -std::numeric_limits<double>::infinity();
    for (double v : plane) best = v > best ? v : best;
    return best;
  });
}

std::optional<GlobalMaxPool> GlobalMaxPool::permuted(const std::vector<int64_t>& perm) const {
  auto to = permuted_layout(layout, perm);
  if (!to) return std::nullopt;
  GlobalMaxPool other = *this;
  other.layout = *to;
  return other;
}

CARNOT_DEFINE_OPS(global_max_pool, GlobalMaxPool)

}  // namespace carnot::ops
