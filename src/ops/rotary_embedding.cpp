// SPDX-License-Identifier: Apache-2.0
#include "ops/rotary_embedding.hpp"

#include "ops/support_check.hpp"

namespace carnot::ops {

Result<Facts> RotaryEmbedding::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  const size_t rank = ctx.rank(0);
  if (rank != 3 && rank != 4)
    return invalid("input 0 ('x') must have rank 3 or 4, got shape {}", to_string(ctx.shape(0)));
  if (rank == 3 && num_heads < 1) return invalid("attribute 'num_heads' must be given when input 0 ('x') has rank 3");
  for (size_t i : {size_t{1}, size_t{2}}) {
    CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, i));
    CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, i, ctx.has(3) ? 2 : 3));
  }
  CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 3, DType::kI64));
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 3, 2));
  return Facts{{ctx.dtype(0), ctx.shape(0)}};
}

Status RotaryEmbedding::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  const bool flat = x.rank() == 3;
  const int64_t batch = x.dims[0], heads = flat ? num_heads : x.dims[1], positions = x.dims[flat ? 1 : 2];
  if (flat && (heads < 1 || x.dims[2] % heads != 0))
    return invalid("{} elements do not divide into {} heads", x.dims[2], heads);
  const int64_t size = flat ? x.dims[2] / heads : x.dims[3];
  const int64_t turned = rotary_embedding_dim == 0 ? size : rotary_embedding_dim, half = turned / 2;
  if (turned < 0 || turned > size || turned % 2 != 0)
    return invalid("{} of {} elements of a head cannot be turned", turned, size);
  const bool by_id = ctx.has(3);
  if (by_id && ctx.in[3].dims != Dims{batch, positions})
    return invalid("input 3 ('position_ids') has shape {}, not {}", to_string(ctx.in[3].dims),
                   to_string(Dims{batch, positions}));
  const Dims expected = by_id ? Dims{ctx.in[1].dims[0], half} : Dims{batch, positions, half};
  if (ctx.in[1].dims != expected || ctx.in[2].dims != expected)
    return invalid("the caches have shapes {} and {}, {} is needed", to_string(ctx.in[1].dims),
                   to_string(ctx.in[2].dims), to_string(expected));
  CARNOT_ASSIGN(const std::vector<double> cos, to_doubles(ctx.in[1]));
  CARNOT_ASSIGN(const std::vector<double> sin, to_doubles(ctx.in[2]));
  if (x.bytes() > 0) std::memcpy(ctx.out[0].data, x.data, x.bytes());
  Status status;
  dispatch_dtype(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t b = 0; b < batch; ++b)
      for (int64_t p = 0; p < positions; ++p) {
        const int64_t row = by_id ? ctx.in[3].as<int64_t>()[b * positions + p] : b * positions + p;
        if (by_id && (row < 0 || row >= expected[0])) {
          status = invalid("input 3 ('position_ids') holds {}, outside [0, {})", row, expected[0]);
          return;
        }
        for (int64_t h = 0; h < heads; ++h) {
          const int64_t first = (flat ? (b * positions + p) * heads + h : (b * heads + h) * positions + p) * size;
          for (int64_t i = 0; i < half; ++i) {
            const int64_t at = first + (interleaved ? 2 * i : i), other = first + (interleaved ? 2 * i + 1 : i + half);
            const double c = cos[static_cast<size_t>(row * half + i)], s = sin[static_cast<size_t>(row * half + i)];
            const auto u = static_cast<double>(x.as<T>()[at]), v = static_cast<double>(x.as<T>()[other]);
            ctx.out[0].as<T>()[at] = static_cast<T>(c * u - s * v);
            ctx.out[0].as<T>()[other] = static_cast<T>(s * u + c * v);
          }
        }
      }
  });
  return status;
}

CARNOT_DEFINE_OPS(rotary_embedding, RotaryEmbedding)

}  // namespace carnot::ops
