// SPDX-License-Identifier: Apache-2.0
#include "ops/scatter_elements.hpp"

#include "ops/support_scatter.hpp"
#include "ops/support_shape.hpp"

namespace carnot::ops {

Result<Facts> ScatterElements::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(check_reduction(reduction));
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, ctx.rank(0)));
  (void)a;
  if (!is_integer(ctx.dtype(1))) return invalid("input 1 ('indices') must be an integer tensor, got {}", dtype_name(ctx.dtype(1)));
  if (ctx.dtype(2) != ctx.dtype(0)) return invalid("input 2 ('updates') holds {}, input 0 {}", dtype_name(ctx.dtype(2)), dtype_name(ctx.dtype(0)));
  if (ctx.rank(1) != ctx.rank(0) || ctx.rank(2) != ctx.rank(0)) return invalid("data, indices and updates must have one rank, got {}, {} and {}", ctx.rank(0), ctx.rank(1), ctx.rank(2));
  return Facts{{ctx.dtype(0), ctx.shape(0)}};
}

Status ScatterElements::evaluate(EvalCtx& ctx) const {
  const TensorView &data = ctx.in[0], &updates = ctx.in[2];
  CARNOT_ASSIGN(const int64_t axis_at, normalize_axis(axis, data.rank()));
  const auto a = static_cast<size_t>(axis_at);
  CARNOT_ASSIGN(const std::vector<int64_t> indices, to_int64s(ctx.in[1]));
  if (ctx.in[1].dims != updates.dims) return invalid("indices of shape {} and updates of shape {} differ", to_string(ctx.in[1].dims), to_string(updates.dims));
  if (data.bytes() > 0) std::memcpy(ctx.out[0].data, data.data, data.bytes());
  const Dims strides = strides_of(data.dims);
  std::vector<int64_t> index(data.rank(), 0);
  for (size_t n = 0; n < indices.size(); ++n) {
    int64_t at = 0;
    for (size_t d = 0; d < index.size(); ++d) {
      int64_t place = index[d];
      if (d == a) place = indices[n] < 0 ? indices[n] + data.dims[a] : indices[n];
      if (place < 0 || place >= data.dims[d]) return invalid("input 1 ('indices') holds {} for axis {} of size {}", indices[n], d, data.dims[d]);
      at += place * strides[d];
    }
    scatter_one(ctx.out[0], at, updates, static_cast<int64_t>(n), reduction);
    next_index(index, updates.dims);
  }
  return {};
}

CARNOT_DEFINE_OPS(scatter_elements, ScatterElements)

}  // namespace carnot::ops
