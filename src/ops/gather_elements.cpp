// SPDX-License-Identifier: Apache-2.0
#include "ops/gather_elements.hpp"

#include "ops/support_shape.hpp"

namespace carnot::ops {

Result<Facts> GatherElements::infer(const InferCtx& ctx) const {
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, ctx.rank(0)));
  (void)a;
  if (!is_integer(ctx.dtype(1))) return invalid("input 1 ('indices') must be an integer tensor, got {}", dtype_name(ctx.dtype(1)));
  if (ctx.rank(1) != ctx.rank(0)) return invalid("input 1 ('indices') has rank {}, input 0 ('data') {}", ctx.rank(1), ctx.rank(0));
  for (size_t d = 0; d < ctx.rank(0); ++d) {
    const Dim &x = ctx.shape(0)[d], &i = ctx.shape(1)[d];
    if (static_cast<int64_t>(d) != a && x.is_constant() && i.is_constant() && i.value() > x.value())
      return invalid("input 1 ('indices') of shape {} is larger than input 0 of shape {} on axis {}", to_string(ctx.shape(1)), to_string(ctx.shape(0)), d);
  }
  return Facts{{ctx.dtype(0), ctx.shape(1)}};
}

Status GatherElements::evaluate(EvalCtx& ctx) const {
  const TensorView& data = ctx.in[0];
  CARNOT_ASSIGN(const int64_t axis_at, normalize_axis(axis, data.rank()));
  const auto a = static_cast<size_t>(axis_at);
  CARNOT_ASSIGN(const std::vector<int64_t> indices, to_int64s(ctx.in[1]));
  const Dims strides = strides_of(data.dims);
  const size_t bytes = dtype_size(data.dtype);
  std::vector<int64_t> index(data.rank(), 0);
  for (size_t n = 0; n < indices.size(); ++n) {
    int64_t at = 0;
    for (size_t d = 0; d < index.size(); ++d) {
      int64_t place = index[d];
      if (d == a) {
        place = indices[n] < 0 ? indices[n] + data.dims[a] : indices[n];
        if (place < 0 || place >= data.dims[a]) return invalid("input 1 ('indices') holds {}, outside [{}, {})", indices[n], -data.dims[a], data.dims[a]);
      }
      at += place * strides[d];
    }
    std::memcpy(ctx.out[0].as<char>() + n * bytes, data.as<char>() + static_cast<size_t>(at) * bytes, bytes);
    next_index(index, ctx.in[1].dims);
  }
  return {};
}

CARNOT_DEFINE_OPS(gather_elements, GatherElements)

}  // namespace carnot::ops
