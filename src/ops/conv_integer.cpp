// SPDX-License-Identifier: Apache-2.0
#include "ops/conv_integer.hpp"

#include "ops/support_conv.hpp"
#include "ops/support_quantize.hpp"

namespace carnot::ops {

namespace {
Conv conv_of(const ConvInteger& op) {
  return {op.auto_pad, op.kernel_shape, op.strides, op.pads, op.dilations, op.group, "nchw"};
}
}  // namespace

Result<Facts> ConvInteger::infer(const InferCtx& ctx) const {
  for (size_t i : {0, 1}) CARNOT_RETURN_IF_ERROR(expect_byte(ctx, info, i));
  CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, 2, 0));
  CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, 3, 1));
  CARNOT_ASSIGN(Shape y, conv_shape(conv_of(*this), ctx, info, 1));
  CARNOT_RETURN_IF_ERROR(expect_scalar_or_vector(ctx, info, 2, 1));
  CARNOT_RETURN_IF_ERROR(expect_scalar_or_vector(ctx, info, 3, ctx.shape(1)[0]));
  return Facts{{DType::kI32, std::move(y)}};
}

Status ConvInteger::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(Planes x, load_planes(ctx.in[0], "nchw"));
  CARNOT_ASSIGN(auto w, to_doubles(ctx.in[1]));
  CARNOT_ASSIGN(const Parameter x_zero, load_parameter(ctx, 2, 0));
  CARNOT_ASSIGN(const Parameter w_zero, load_parameter(ctx, 3, 0));
  for (double& v : x.data) v -= x_zero.at(0);
  const size_t filter = static_cast<size_t>(split_at(ctx.in[1].dims, 0).inner);
  for (size_t i = 0; i < w.size(); ++i) w[i] -= w_zero.at(i / filter);
  store(ctx.out[0], convolve(conv_of(*this), x, w, ctx.in[1].dims).data);
  return {};
}

CARNOT_DEFINE_OPS(conv_integer, ConvInteger)

}  // namespace carnot::ops
