// SPDX-License-Identifier: Apache-2.0
#include "ops/compress.hpp"

#include "ops/support_check.hpp"

namespace carnot::ops {

Result<Facts> Compress::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 1, DType::kBool));
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 1, 1));
  Shape shape{Dim(0)};
  int64_t a = 0;
  if (axis) {
    CARNOT_ASSIGN(a, normalize_axis(*axis, ctx.rank(0)));
    shape = ctx.shape(0);
  }
  shape[static_cast<size_t>(a)] = ctx.fresh("compress");
  return Facts{{ctx.dtype(0), std::move(shape)}};
}

Status Compress::evaluate(EvalCtx& ctx) const {
  const TensorView &x = ctx.in[0], &condition = ctx.in[1];
  Dims dims{x.size()};
  int64_t a = 0;
  if (axis) {
    CARNOT_ASSIGN(a, normalize_axis(*axis, x.rank()));
    dims = x.dims;
  }
  const AxisSplit s = split_at(dims, a);
  if (condition.size() > s.extent)
    return invalid("input 1 ('condition') has {} entries, the axis {}", condition.size(), s.extent);
  std::vector<int64_t> kept;
  for (int64_t i = 0; i < condition.size(); ++i)
    if (condition.as<bool>()[i]) kept.push_back(i);
  dims[static_cast<size_t>(a)] = static_cast<int64_t>(kept.size());
  CARNOT_RETURN_IF_ERROR(ctx.allocate(0, dims));
  const int64_t inner = s.inner * static_cast<int64_t>(dtype_size(x.dtype));
  auto* to = ctx.out[0].as<char>();
  for (int64_t o = 0; o < s.outer && inner > 0; ++o)
    for (int64_t i : kept) {
      std::memcpy(to, x.as<char>() + (o * s.extent + i) * inner, static_cast<size_t>(inner));
      to += inner;
    }
  return {};
}

CARNOT_DEFINE_OPS(compress, Compress)

}  // namespace carnot::ops
