// SPDX-License-Identifier: Apache-2.0
#include "ops/quantize_linear.hpp"

#include "ops/support_quantize.hpp"

namespace carnot::ops {

Result<Facts> QuantizeLinear::infer(const InferCtx& ctx) const {
  if (ctx.dtype(0) != DType::kI32) CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  CARNOT_RETURN_IF_ERROR(expect_number(ctx, info, 1));
  CARNOT_RETURN_IF_ERROR(expect_scales(ctx, info, axis, block_size));
  const DType named = output_dtype ? static_cast<DType>(output_dtype) : DType::kU8;
  const DType y = ctx.has(2) ? ctx.dtype(2) : named;
  if (output_dtype && ctx.has(2) && named != y)
    return invalid("{} is {}, but attribute 'output_dtype' says {}", operand(info, 2), dtype_name(y),
                   dtype_name(named));
  if (output_dtype < 0 || output_dtype > 32 ||
      (y != DType::kU8 && y != DType::kI8 && y != DType::kU16 && y != DType::kI16))
    return fail(Code::kUnsupported, "quantizing to type {} ({}) is not supported; u8, i8, u16 and i16 are",
                output_dtype, dtype_name(y));
  return Facts{{y, ctx.shape(0)}};
}

Status QuantizeLinear::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(auto x, to_doubles(ctx.in[0]));
  CARNOT_ASSIGN(const Parameter scale, load_parameter(ctx, 1, 1));
  CARNOT_ASSIGN(const Parameter zero, load_parameter(ctx, 2, 0));
  const ScaleIndex index{ctx.in[0].dims, ctx.in[1].dims,
                         axis < 0 ? axis + static_cast<int64_t>(ctx.in[0].rank()) : axis, block_size};
  const IntRange range = int_range(ctx.out[0].dtype);
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t k = index.at(i);
    x[i] = quantize(x[i] / scale.at(k), zero.at(k), range);
  }
  store(ctx.out[0], x);
  return {};
}

CARNOT_DEFINE_OPS(quantize_linear, QuantizeLinear)

}  // namespace carnot::ops
