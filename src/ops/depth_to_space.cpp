// SPDX-License-Identifier: Apache-2.0
#include "ops/depth_to_space.hpp"

#include "ops/support_check.hpp"

namespace carnot::ops {

Result<Facts> DepthToSpace::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 0, 4));
  if (mode != "DCR" && mode != "CRD") return invalid("attribute 'mode' is '{}', neither DCR nor CRD", mode);
  if (blocksize < 1 || blocksize > 1 << 15)
    return invalid("attribute 'blocksize' is {}, it must be a small positive number", blocksize);
  const Shape& x = ctx.shape(0);
  const Dim block(blocksize), places(blocksize * blocksize);
  if (x[1].is_constant() && x[1].value() % places.value() != 0)
    return invalid("input 0 ('x') of shape {} has {} channels, no multiple of {}", to_string(x), x[1].str(),
                   places.str());
  return Facts{{ctx.dtype(0), {x[0], Dim::floordiv(x[1], places), x[2] * block, x[3] * block}}};
}

Status DepthToSpace::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  const int64_t b = blocksize, batch = x.dims[0], channels = x.dims[1] / (b * b), height = x.dims[2], width = x.dims[3];
  if (channels * b * b != x.dims[1])
    return invalid("input 0 ('x') has {} channels, no multiple of {}", x.dims[1], b * b);
  const auto bytes = static_cast<int64_t>(dtype_size(x.dtype));
  auto* to = ctx.out[0].as<char>();
  for (int64_t n = 0; n < batch; ++n)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t h = 0; h < height * b; ++h)
        for (int64_t w = 0; w < width * b; ++w, to += bytes) {
          const int64_t block = h % b * b + w % b;
          const int64_t channel = mode == "DCR" ? block * channels + c : c * b * b + block;
          const int64_t at = ((n * x.dims[1] + channel) * height + h / b) * width + w / b;
          std::memcpy(to, x.as<char>() + at * bytes, static_cast<size_t>(bytes));
        }
  return {};
}

CARNOT_DEFINE_OPS(depth_to_space, DepthToSpace)

}  // namespace carnot::ops
