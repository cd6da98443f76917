// SPDX-License-Identifier: Apache-2.0
#include "ops/tensor_scatter.hpp"

#include "ops/support_check.hpp"

namespace carnot::ops {

namespace {
// The axis may not be the batch.
Result<int64_t> sequence_axis(int64_t axis, size_t rank) {
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, rank));
  if (a == 0) return invalid("attribute 'axis' is {}, the batch of a cache of rank {}", axis, rank);
  return a;
}
}  // namespace

Result<Facts> TensorScatter::infer(const InferCtx& ctx) const {
  if (mode != "linear" && mode != "circular")
    return invalid("attribute 'mode' is '{}', neither linear nor circular", mode);
  const Shape &cache = ctx.shape(0), &update = ctx.shape(1);
  CARNOT_ASSIGN(const int64_t a, sequence_axis(axis, cache.size()));
  CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, 1));
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 1, cache.size()));
  for (size_t d = 0; d < cache.size(); ++d) {
    if (static_cast<int64_t>(d) != a)
      CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, 1, d, cache[d], "as in 'past_cache'"));
    else if (update[d].is_constant() && cache[d].is_constant() && update[d].value() > cache[d].value())
      return invalid("input 1 ('update') has {} places along axis {}, the cache {}", update[d].str(), a,
                     cache[d].str());
  }
  CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 2, DType::kI64));
  CARNOT_RETURN_IF_ERROR(expect_vector(ctx, info, 2, cache[0], "the batch"));
  return Facts{{ctx.dtype(0), cache}};
}

Status TensorScatter::evaluate(EvalCtx& ctx) const {
  const TensorView &cache = ctx.in[0], &update = ctx.in[1];
  CARNOT_ASSIGN(const int64_t a, sequence_axis(axis, cache.rank()));
  Dims expected = cache.dims;
  expected[static_cast<size_t>(a)] = update.rank() == cache.rank() ? update.dims[static_cast<size_t>(a)] : 0;
  if (update.dims != expected)
    return invalid("input 1 ('update') of shape {} does not fit a cache of shape {}", to_string(update.dims),
                   to_string(cache.dims));
  const bool given = ctx.has(2);
  if (given && ctx.in[2].size() != cache.dims[0])
    return invalid("input 2 ('write_indices') has {} entries for a batch of {}", ctx.in[2].size(), cache.dims[0]);
  if (cache.bytes() > 0) std::memcpy(ctx.out[0].data, cache.data, cache.bytes());
  const AxisSplit to = split_at(cache.dims, a), from = split_at(update.dims, a);
  const int64_t bytes = to.inner * static_cast<int64_t>(dtype_size(cache.dtype));
  if (bytes == 0 || from.extent == 0 || to.outer == 0) return {};
  const int64_t rows = to.outer / cache.dims[0];  // per batch
  for (int64_t o = 0; o < to.outer; ++o) {
    const int64_t first = given ? ctx.in[2].as<int64_t>()[o / rows] : 0;
    const bool fits =
        mode == "circular" ? first >= 0 && from.extent <= to.extent : first >= 0 && first <= to.extent - from.extent;
    if (!fits)
      return invalid("{} places from {} on do not fit a cache with {} of them (input 2, 'write_indices')", from.extent,
                     first, to.extent);
    for (int64_t i = 0; i < from.extent; ++i) {
      const int64_t at = (first % to.extent + i) % to.extent;
      std::memcpy(ctx.out[0].as<char>() + (o * to.extent + (mode == "circular" ? at : first + i)) * bytes,
                  update.as<char>() + (o * from.extent + i) * bytes, static_cast<size_t>(bytes));
    }
  }
  return {};
}

CARNOT_DEFINE_OPS(tensor_scatter, TensorScatter)

}  // namespace carnot::ops
