// SPDX-License-Identifier: Apache-2.0
#include "ops/eye_like.hpp"

#include "ops/support_check.hpp"

namespace carnot::ops {

Result<Facts> EyeLike::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 0, 2));
  const DType type = dtype.value_or(ctx.dtype(0));
  if (!is_float(type) && !is_integer(type) && type != DType::kBool)
    return invalid("attribute 'dtype' is {}, which is no number", dtype_name(type));
  return Facts{{type, ctx.shape(0)}};
}

Status EyeLike::evaluate(EvalCtx& ctx) const {
  TensorView& y = ctx.out[0];
  const int64_t cols = y.dims[1];
  dispatch_dtype(y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t n = 0; n < y.size(); ++n) y.as<T>()[n] = static_cast<T>(n % cols - n / cols == k ? 1 : 0);
  });
  return {};
}

CARNOT_DEFINE_OPS(eye_like, EyeLike)

}  // namespace carnot::ops
