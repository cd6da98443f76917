// SPDX-License-Identifier: Apache-2.0
#include "ops/dynamic_quantize_linear.hpp"

#include <algorithm>

#include "ops/support_quantize.hpp"

namespace carnot::ops {

Result<Facts> DynamicQuantizeLinear::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_dtype(ctx, info, 0, DType::kF32));
  return Facts{{DType::kU8, ctx.shape(0)}, {DType::kF32, {}}, {DType::kU8, {}}};
}

Status DynamicQuantizeLinear::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(auto x, to_doubles(ctx.in[0]));
  double low = 0, high = 0;
  for (double v : x) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
  // In f32, as whoever reads the scale will divide by it; all zeros would give a scale of 0.
  const double scale =
      low == high ? 1 : static_cast<double>(static_cast<float>(static_cast<float>(high - low) / 255.0f));
  const IntRange range = int_range(DType::kU8);
  const double zero = quantize(-low / scale, 0, range);
  for (double& v : x) v = quantize(v / scale, zero, range);
  if (ctx.wants(0)) store(ctx.out[0], x);
  if (ctx.wants(1)) store(ctx.out[1], std::vector<double>{scale});
  if (ctx.wants(2)) store(ctx.out[2], std::vector<double>{zero});
  return {};
}

CARNOT_DEFINE_OPS(dynamic_quantize_linear, DynamicQuantizeLinear)

}  // namespace carnot::ops
