// SPDX-License-Identifier: Apache-2.0
#include "ops/max_pool.hpp"

#include <limits>

#include "ops/support_pool.hpp"

namespace carnot::ops {

namespace {
PoolAttrs attrs_of(const MaxPool& p) {
  return {{p.auto_pad, p.strides, p.pads, p.dilations}, p.kernel_shape, p.ceil_mode != 0, p.layout};
}

// The flat number of the same element when the first axis runs fastest.
int64_t column_major(int64_t flat, const Dims& dims) {
  int64_t out = 0, size = size_of(dims);
  for (size_t i = dims.size(); i-- > 0; flat /= dims[i]) {
    size /= dims[i];
    out += flat % dims[i] * size;
  }
  return out;
}
}  // namespace

Result<Facts> MaxPool::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_number(ctx, info, 0));
  CARNOT_ASSIGN(Shape y, pool_shape(attrs_of(*this), info, ctx.shape(0)));
  return Facts{{ctx.dtype(0), y}, {DType::kI64, y}};
}

Status MaxPool::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(const Planes x, load_planes(ctx.in[0], layout));
  const Dims out_dims = plane_dims(ctx.wants(0) ? ctx.out[0].dims : ctx.out[1].dims, layout);
  Planes y{out_dims, std::vector<double>(static_cast<size_t>(size_of(out_dims)))}, where = y;
  const Dims in = x.spatial();
  const int64_t in_area = size_of(in), out_area = size_of(y.spatial()), planes = x.batch() * x.channels();
  for_each_window(attrs_of(*this), in, y.spatial(), [&](int64_t out, std::span<const int64_t> window, int64_t) {
    for (int64_t p = 0; p < planes; ++p) {
      double best = -std::numeric_limits<double>::infinity();
      int64_t at = window.empty() ? 0 : window[0];
      for (int64_t i : window)
        if (const double v = x.data[static_cast<size_t>(p * in_area + i)]; v > best) {
          best = v;
          at = i;
        }
      const auto to = static_cast<size_t>(p * out_area + out);
      y.data[to] = best;
      where.data[to] = static_cast<double>(p * in_area + (storage_order ? column_major(at, in) : at));
    }
  });
  if (ctx.wants(0)) store_planes(ctx.out[0], y, layout);
  if (ctx.wants(1)) store_planes(ctx.out[1], where, layout);
  return {};
}

std::optional<MaxPool> MaxPool::permuted(const std::vector<int64_t>& perm) const {
  auto to = permuted_layout(layout, perm);
  if (!to) return std::nullopt;
  MaxPool other = *this;
  other.layout = *to;
  return other;
}

CARNOT_DEFINE_OPS(max_pool, MaxPool)

}  // namespace carnot::ops
