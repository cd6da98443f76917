// SPDX-License-Identifier: Apache-2.0
#include "ops/tile.hpp"

#include "ops/support_shape.hpp"

namespace carnot::ops {

Result<Facts> Tile::infer(const InferCtx& ctx) const {
  ValueFacts out{ctx.dtype(0), {}};
  auto repeats = ctx.values(1);
  if (!repeats) {
    out.shape = fresh_shape(ctx, ctx.rank(0), "tile");
    return Facts{std::move(out)};
  }
  if (repeats->size() != ctx.rank(0)) return invalid("input 1 ('repeats') has {} entries, input 0 has rank {}", repeats->size(), ctx.rank(0));
  for (size_t i = 0; i < repeats->size(); ++i) {
    const Dim& r = (*repeats)[i];
    if (r.is_constant() && r.value() < 0) return invalid("input 1 ('repeats') has the negative number {}", r.value());
    out.shape.push_back(ctx.shape(0)[i] * r);
  }
  return Facts{std::move(out)};
}

Status Tile::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  TensorView& y = ctx.out[0];
  const Dims strides = strides_of(x.dims);
  const size_t bytes = dtype_size(x.dtype);
  std::vector<int64_t> index(y.rank(), 0);
  auto* to = y.as<char>();
  for (int64_t n = y.size(); n-- > 0; to += bytes) {
    int64_t at = 0;
    for (size_t i = 0; i < x.rank(); ++i) at += index[i] % x.dims[i] * strides[i];
    std::memcpy(to, x.as<char>() + static_cast<size_t>(at) * bytes, bytes);
    next_index(index, y.dims);
  }
  return {};
}

CARNOT_DEFINE_OPS(tile, Tile)

}  // namespace carnot::ops
