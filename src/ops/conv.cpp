// SPDX-License-Identifier: Apache-2.0
#include "ops/conv.hpp"

#include "ops/support_conv.hpp"

namespace carnot::ops {

Result<Facts> Conv::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  for (size_t i : {1, 2}) CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, i));
  CARNOT_ASSIGN(Shape y, conv_shape(*this, ctx, info, 1));
  CARNOT_RETURN_IF_ERROR(expect_vector(ctx, info, 2, ctx.shape(1)[0], "the number of filters in 'w'"));
  return Facts{{ctx.dtype(0), std::move(y)}};
}

Status Conv::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(const Planes x, load_planes(ctx.in[0], layout));
  CARNOT_ASSIGN(const auto w, to_doubles(ctx.in[1]));
  Planes y = convolve(*this, x, w, ctx.in[1].dims);
  if (ctx.has(2)) {
    CARNOT_ASSIGN(const auto bias, to_doubles(ctx.in[2]));
    const auto area = static_cast<size_t>(size_of(y.spatial()));
    for (size_t i = 0; i < y.data.size(); ++i) y.data[i] += bias[i / area % bias.size()];
  }
  store_planes(ctx.out[0], y, layout);
  return {};
}

std::optional<Conv> Conv::permuted(const std::vector<int64_t>& perm) const {
  auto to = permuted_layout(layout, perm);
  if (!to) return std::nullopt;
  Conv other = *this;
  other.layout = *to;
  return other;
}

CARNOT_DEFINE_OPS(conv, Conv)

}  // namespace carnot::ops
