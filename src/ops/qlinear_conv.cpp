// SPDX-License-Identifier: Apache-2.0
#include "ops/qlinear_conv.hpp"

#include "ops/support_conv.hpp"
#include "ops/support_quantize.hpp"

namespace carnot::ops {

namespace {
Conv conv_of(const QLinearConv& op) {
  return {op.auto_pad, op.kernel_shape, op.strides, op.pads, op.dilations, op.group, "nchw"};
}
}  // namespace

Result<Facts> QLinearConv::infer(const InferCtx& ctx) const {
  for (size_t i : {0, 3, 7}) CARNOT_RETURN_IF_ERROR(expect_byte(ctx, info, i));
  for (size_t i : {1, 4, 6}) CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, i));
  CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, 2, 0));
  CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, 5, 3));
  CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 8, DType::kI32));
  CARNOT_ASSIGN(Shape y, conv_shape(conv_of(*this), ctx, info, 3));
  for (size_t i : {1, 2, 6, 7}) CARNOT_RETURN_IF_ERROR(expect_scalar_or_vector(ctx, info, i, 1));
  for (size_t i : {4, 5}) CARNOT_RETURN_IF_ERROR(expect_scalar_or_vector(ctx, info, i, ctx.shape(3)[0]));
  CARNOT_RETURN_IF_ERROR(expect_vector(ctx, info, 8, ctx.shape(3)[0], "the number of filters in 'w'"));
  return Facts{{ctx.dtype(7), std::move(y)}};
}

Status QLinearConv::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(Planes x, load_planes(ctx.in[0], "nchw"));
  CARNOT_ASSIGN(auto w, to_doubles(ctx.in[3]));
  std::vector<Parameter> p;
  for (size_t i : {1, 2, 4, 5, 6, 7, 8}) {
    CARNOT_ASSIGN(Parameter one, load_parameter(ctx, i, 0));
    p.push_back(std::move(one));
  }
  const Parameter &x_scale = p[0], &x_zero = p[1], &w_scale = p[2], &w_zero = p[3], &y_scale = p[4], &y_zero = p[5],
                  &bias = p[6];
  for (double& v : x.data) v -= x_zero.at(0);
  const size_t filter = static_cast<size_t>(split_at(ctx.in[3].dims, 0).inner);
  for (size_t i = 0; i < w.size(); ++i) w[i] -= w_zero.at(i / filter);
  Planes y = convolve(conv_of(*this), x, w, ctx.in[3].dims);
  const auto area = static_cast<size_t>(size_of(y.spatial())), filters = static_cast<size_t>(y.channels());
  const IntRange range = int_range(ctx.out[0].dtype);
  for (size_t i = 0; i < y.data.size(); ++i) {
    const size_t o = i / area % filters;
    y.data[i] =
        quantize((y.data[i] + bias.at(o)) * (x_scale.at(0) * w_scale.at(o) / y_scale.at(0)), y_zero.at(0), range);
  }
  store(ctx.out[0], y.data);
  return {};
}

CARNOT_DEFINE_OPS(qlinear_conv, QLinearConv)

}  // namespace carnot::ops
