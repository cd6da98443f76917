// SPDX-License-Identifier: Apache-2.0
#include "ops/space_to_depth.hpp"

#include "ops/support_check.hpp"

namespace carnot::ops {

Result<Facts> SpaceToDepth::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 0, 4));
  if (blocksize < 1 || blocksize > 1 << 15)
    return invalid("attribute 'blocksize' is {}, it must be a small positive number", blocksize);
  const Shape& x = ctx.shape(0);
  for (size_t a : {size_t{2}, size_t{3}})
    if (x[a].is_constant() && x[a].value() % blocksize != 0)
      return invalid("input 0 ('x') of shape {} cannot be cut into blocks of {} along axis {}", to_string(x), blocksize,
                     a);
  const Dim block(blocksize);
  return Facts{{ctx.dtype(0), {x[0], x[1] * block * block, Dim::floordiv(x[2], block), Dim::floordiv(x[3], block)}}};
}

Status SpaceToDepth::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  const int64_t b = blocksize, channels = x.dims[1], height = x.dims[2] / b, width = x.dims[3] / b;
  if (height * b != x.dims[2] || width * b != x.dims[3])
    return invalid("input 0 ('x') of shape {} cannot be cut into blocks of {}", to_string(x.dims), b);
  const auto bytes = static_cast<int64_t>(dtype_size(x.dtype));
  auto* to = ctx.out[0].as<char>();
  for (int64_t n = 0; n < x.dims[0]; ++n)
    for (int64_t k = 0; k < b * b; ++k)
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t h = 0; h < height; ++h)
          for (int64_t w = 0; w < width; ++w, to += bytes) {
            const int64_t at = ((n * channels + c) * x.dims[2] + h * b + k / b) * x.dims[3] + w * b + k % b;
            std::memcpy(to, x.as<char>() + at * bytes, static_cast<size_t>(bytes));
          }
  return {};
}

CARNOT_DEFINE_OPS(space_to_depth, SpaceToDepth)

}  // namespace carnot::ops
