// SPDX-License-Identifier: Apache-2.0
#include "ops/scatter_nd.hpp"

#include "ops/support_scatter.hpp"

namespace carnot::ops {

Result<Facts> ScatterNd::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(check_reduction(reduction));
  const Shape &data = ctx.shape(0), &indices = ctx.shape(1);
  if (ctx.dtype(1) != DType::kI64) return invalid("input 1 ('indices') must be i64, got {}", dtype_name(ctx.dtype(1)));
  if (ctx.dtype(2) != ctx.dtype(0)) return invalid("input 2 ('updates') holds {}, input 0 {}", dtype_name(ctx.dtype(2)), dtype_name(ctx.dtype(0)));
  if (indices.empty() || (indices.back().is_constant() && indices.back().value() > static_cast<int64_t>(data.size())))
    return invalid("the last dim of input 1 ('indices') of shape {} must be at most {}, the rank of input 0", to_string(indices), data.size());
  return Facts{{ctx.dtype(0), data}};
}

Status ScatterNd::evaluate(EvalCtx& ctx) const {
  const TensorView &data = ctx.in[0], &indices = ctx.in[1], &updates = ctx.in[2];
  TensorView& y = ctx.out[0];
  const auto depth = static_cast<size_t>(indices.dims.back());
  if (depth > data.rank()) return invalid("input 1 ('indices') gives {} places for the {} axes of input 0", depth, data.rank());
  const Dims strides = strides_of(data.dims);
  int64_t inner = 1, tuples = 1;
  for (size_t d = depth; d < data.rank(); ++d) inner *= data.dims[d];
  for (size_t d = 0; d + 1 < indices.rank(); ++d) tuples *= indices.dims[d];
  if (updates.size() != tuples * inner) return invalid("input 2 ('updates') of shape {} does not hold {} blocks of {} elements", to_string(updates.dims), tuples, inner);
  if (data.bytes() > 0) std::memcpy(y.data, data.data, data.bytes());
  const auto* place = indices.as<int64_t>();
  for (int64_t t = 0; t < tuples; ++t, place += depth) {
    int64_t at = 0;
    for (size_t k = 0; k < depth; ++k) {
      const int64_t p = place[k] < 0 ? place[k] + data.dims[k] : place[k];
      if (p < 0 || p >= data.dims[k]) return invalid("input 1 ('indices') holds {}, outside [{}, {})", place[k], -data.dims[k], data.dims[k]);
      at += p * strides[k];
    }
    for (int64_t i = 0; i < inner; ++i) scatter_one(y, at + i, updates, t * inner + i, reduction);
  }
  return {};
}

CARNOT_DEFINE_OPS(scatter_nd, ScatterNd)

}  // namespace carnot::ops
