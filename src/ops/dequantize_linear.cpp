// SPDX-License-Identifier: Apache-2.0
#include "ops/dequantize_linear.hpp"

#include "ops/support_quantize.hpp"

namespace carnot::ops {

Result<Facts> DequantizeLinear::infer(const InferCtx& ctx) const {
  if (!is_integer(ctx.dtype(0)))
    return invalid("{} must be an integer tensor, got {}", operand(info, 0), dtype_name(ctx.dtype(0)));
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 1));
  CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, 2));
  CARNOT_RETURN_IF_ERROR(expect_scales(ctx, info, axis, block_size));
  const DType y = output_dtype ? static_cast<DType>(output_dtype) : ctx.dtype(1);
  if (output_dtype < 0 || output_dtype > 32 || !is_float(y))
    return invalid("attribute 'output_dtype' is {}, no floating-point type", output_dtype);
  return Facts{{y, ctx.shape(0)}};
}

Status DequantizeLinear::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(auto x, to_doubles(ctx.in[0]));
  CARNOT_ASSIGN(const Parameter scale, load_parameter(ctx, 1, 1));
  CARNOT_ASSIGN(const Parameter zero, load_parameter(ctx, 2, 0));
  const ScaleIndex index{ctx.in[0].dims, ctx.in[1].dims,
                         axis < 0 ? axis + static_cast<int64_t>(ctx.in[0].rank()) : axis, block_size};
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t k = index.at(i);
    x[i] = (x[i] - zero.at(k)) * scale.at(k);
  }
  store(ctx.out[0], x);
  return {};
}

CARNOT_DEFINE_OPS(dequantize_linear, DequantizeLinear)

}  // namespace carnot::ops
