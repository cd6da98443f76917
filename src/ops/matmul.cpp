// SPDX-License-Identifier: Apache-2.0
#include "ops/matmul.hpp"

#include "ops/support_matmul.hpp"

namespace carnot::ops {

Result<Facts> MatMul::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_number(ctx, info, 0));
  CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, 1));
  CARNOT_ASSIGN(Shape shape, matmul_shape(ctx.shape(0), ctx.shape(1)));
  return Facts{{ctx.dtype(0), std::move(shape)}};
}

Status MatMul::evaluate(EvalCtx& ctx) const {
  const TensorView &a = ctx.in[0], &b = ctx.in[1];
  if (is_integer(a.dtype)) {
    CARNOT_ASSIGN(const auto x, to_int64s(a));
    CARNOT_ASSIGN(const auto w, to_int64s(b));
    store(ctx.out[0], matmul(x, a.dims, w, b.dims));
    return {};
  }
  CARNOT_ASSIGN(const auto x, to_doubles(a));
  CARNOT_ASSIGN(const auto w, to_doubles(b));
  store(ctx.out[0], matmul(x, a.dims, w, b.dims));
  return {};
}

CARNOT_DEFINE_OPS(matmul, MatMul)

}  // namespace carnot::ops
