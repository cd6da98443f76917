// SPDX-License-Identifier: Apache-2.0
#include "ops/lp_pool.hpp"

#include <cmath>

#include "ops/support_pool.hpp"

namespace carnot::ops {

namespace {
PoolAttrs attrs_of(const LpPool& p) {
  return {{p.auto_pad, p.strides, p.pads, p.dilations}, p.kernel_shape, p.ceil_mode != 0, p.layout};
}
}  // namespace

Result<Facts> LpPool::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  if (p < 1) return invalid("attribute 'p' is {}; it must be positive", p);
  CARNOT_ASSIGN(Shape y, pool_shape(attrs_of(*this), info, ctx.shape(0)));
  return Facts{{ctx.dtype(0), std::move(y)}};
}

Status LpPool::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(const Planes x, load_planes(ctx.in[0], layout));
  const Dims out_dims = plane_dims(ctx.out[0].dims, layout);
  Planes y{out_dims, std::vector<double>(static_cast<size_t>(size_of(out_dims)))};
  const int64_t in_area = size_of(x.spatial()), out_area = size_of(y.spatial()), planes = x.batch() * x.channels();
  const auto power = static_cast<double>(p);
  for_each_window(attrs_of(*this), x.spatial(), y.spatial(),
                  [&](int64_t out, std::span<const int64_t> window, int64_t) {
                    for (int64_t k = 0; k < planes; ++k) {
                      double sum = 0;
                      for (int64_t i : window)
                        sum += std::pow(std::abs(x.data[static_cast<size_t>(k * in_area + i)]), power);
                      y.data[static_cast<size_t>(k * out_area + out)] = std::pow(sum, 1.0 / power);
                    }
                  });
  store_planes(ctx.out[0], y, layout);
  return {};
}

std::optional<LpPool> LpPool::permuted(const std::vector<int64_t>& perm) const {
  auto to = permuted_layout(layout, perm);
  if (!to) return std::nullopt;
  LpPool other = *this;
  other.layout = *to;
  return other;
}

CARNOT_DEFINE_OPS(lp_pool, LpPool)

}  // namespace carnot::ops
