// SPDX-License-Identifier: Apache-2.0
#include "ops/affine_grid.hpp"

#include "ops/support_check.hpp"
#include "ops/support_shape.hpp"

namespace carnot::ops {

Result<Facts> AffineGrid::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 0, 3));
  CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 1, DType::kI64));
  const auto length = known_length(ctx, 1);
  if (ctx.rank(1) != 1 || !length || (*length != 4 && *length != 5))
    return invalid("input 1 ('size') must hold 4 or 5 sizes, got shape {}", to_string(ctx.shape(1)));
  const int64_t spatial = *length - 2;
  CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, 0, 1, Dim(spatial), "the spatial axes"));
  CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, 0, 2, Dim(spatial + 1), "the spatial axes and 1"));
  ValueFacts out{ctx.dtype(0), {ctx.shape(0)[0]}};
  const auto sizes = ctx.values(1);
  for (int64_t i = 0; i < spatial; ++i) {
    out.shape.push_back(sizes ? (*sizes)[static_cast<size_t>(2 + i)] : ctx.fresh("affine_grid"));
    if (out.shape.back().is_constant() && out.shape.back().value() < 0)
      return invalid("input 1 ('size') has the negative size {}", out.shape.back().value());
  }
  out.shape.emplace_back(spatial);
  return Facts{std::move(out)};
}

Status AffineGrid::evaluate(EvalCtx& ctx) const {
  TensorView& y = ctx.out[0];
  CARNOT_ASSIGN(const std::vector<double> theta, to_doubles(ctx.in[0]));
  CARNOT_ASSIGN(const std::vector<int64_t> sizes, to_int64s(ctx.in[1]));
  const auto spatial = static_cast<int64_t>(y.rank()) - 2;
  if (ctx.in[0].dims != Dims{y.dims[0], spatial, spatial + 1} || sizes[0] != y.dims[0])
    return invalid("input 0 ('theta') of shape {} does not fit a batch of {}", to_string(ctx.in[0].dims), sizes[0]);
  const Dims places(y.dims.begin() + 1, y.dims.end() - 1);
  dispatch_dtype(y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::vector<int64_t> index(places.size(), 0);
    auto* to = y.as<T>();
    const int64_t points = size_of(places);
    for (int64_t n = 0; n < y.dims[0]; ++n)
      for (int64_t p = 0; p < points; ++p, next_index(index, places))
        for (int64_t row = 0; row < spatial; ++row) {
          const double* t = theta.data() + (n * spatial + row) * (spatial + 1);
          double sum = t[spatial];
          for (int64_t c = 0; c < spatial; ++c) {
            // Coordinate c, x first, belongs to axis c from the end.
            const auto a = static_cast<size_t>(spatial - 1 - c);
            const auto i = static_cast<double>(index[a]), size = static_cast<double>(places[a]);
            const double place = align_corners ? (size == 1 ? -1 : 2 * i / (size - 1) - 1) : (2 * i + 1) / size - 1;
            sum += t[c] * place;
          }
          *to++ = static_cast<T>(sum);
        }
  });
  return {};
}

CARNOT_DEFINE_OPS(affine_grid, AffineGrid)

}  // namespace carnot::ops
