// SPDX-License-Identifier: Apache-2.0
#include "ops/global_average_pool.hpp"

#include <cmath>
#include <limits>

#include "ops/support_pool.hpp"

namespace carnot::ops {

Result<Facts> GlobalAveragePool::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  CARNOT_ASSIGN(Shape y, global_pool_shape(layout, info, ctx.shape(0)));
  return Facts{{ctx.dtype(0), std::move(y)}};
}

Status GlobalAveragePool::evaluate(EvalCtx& ctx) const {
  return global_pool(ctx, layout, [](std::span<const double> plane) {
    double sum = 0;
    for (double v : plane) sum += v;
    return sum / static_cast<double>(plane.size());
  });
}

std::optional<GlobalAveragePool> GlobalAveragePool::permuted(const std::vector<int64_t>& perm) const {
  auto to = permuted_layout(layout, perm);
  if (!to) return std::nullopt;
  GlobalAveragePool other = *this;
  other.layout = *to;
  return other;
}

CARNOT_DEFINE_OPS(global_average_pool, GlobalAveragePool)

}  // namespace carnot::ops
