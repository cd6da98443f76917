// SPDX-License-Identifier: Apache-2.0
#include "ops/average_pool.hpp"

#include "ops/support_pool.hpp"

namespace carnot::ops {

namespace {
PoolAttrs attrs_of(const AveragePool& p) {
  return {{p.auto_pad, p.strides, p.pads, p.dilations}, p.kernel_shape, p.ceil_mode != 0, p.layout};
}
}  // namespace

Result<Facts> AveragePool::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  CARNOT_ASSIGN(Shape y, pool_shape(attrs_of(*this), info, ctx.shape(0)));
  return Facts{{ctx.dtype(0), std::move(y)}};
}

Status AveragePool::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(const Planes x, load_planes(ctx.in[0], layout));
  const Dims out_dims = plane_dims(ctx.out[0].dims, layout);
  Planes y{out_dims, std::vector<double>(static_cast<size_t>(size_of(out_dims)))};
  const int64_t in_area = size_of(x.spatial()), out_area = size_of(y.spatial()), planes = x.batch() * x.channels();
  for_each_window(
      attrs_of(*this), x.spatial(), y.spatial(), [&](int64_t out, std::span<const int64_t> window, int64_t padded) {
        const auto count = static_cast<double>(count_include_pad ? padded : static_cast<int64_t>(window.size()));
        for (int64_t p = 0; p < planes; ++p) {
          double sum = 0;
          for (int64_t i : window) sum += x.data[static_cast<size_t>(p * in_area + i)];
          y.data[static_cast<size_t>(p * out_area + out)] = count > 0 ? sum / count : 0;
        }
      });
  store_planes(ctx.out[0], y, layout);
  return {};
}

std::optional<AveragePool> AveragePool::permuted(const std::vector<int64_t>& perm) const {
  auto to = permuted_layout(layout, perm);
  if (!to) return std::nullopt;
  AveragePool other = *this;
  other.layout = *to;
  return other;
}

CARNOT_DEFINE_OPS(average_pool, AveragePool)

}  // namespace carnot::ops
