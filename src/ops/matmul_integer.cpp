// SPDX-License-Identifier: Apache-2.0
#include "ops/matmul_integer.hpp"

#include "ops/support_matmul.hpp"
#include "ops/support_norm.hpp"
#include "ops/support_quantize.hpp"

namespace carnot::ops {

namespace {
// One zero point, one a row of a (column of b), or any shape that broadcasts.
Status expect_zero_point(const InferCtx& ctx, const OpInfo& info, size_t i, size_t of, bool rows) {
  CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, i, of));
  if (!ctx.has(i) || ctx.rank(i) == 0) return {};
  const Shape& x = ctx.shape(of);
  if (ctx.rank(i) == 1) return expect_scalar_or_vector(ctx, info, i, rows && x.size() > 1 ? x[x.size() - 2] : x.back());
  return expect_broadcasts_to(ctx, info, i, x);
}

Result<std::vector<double>> centred(const EvalCtx& ctx, size_t i, size_t zero_point, bool rows) {
  CARNOT_ASSIGN(auto x, to_doubles(ctx.in[i]));
  if (!ctx.has(zero_point)) return x;
  TensorView zero = ctx.in[zero_point];
  if (rows && zero.rank() == 1 && ctx.in[i].rank() > 1) zero.dims.push_back(1);
  CARNOT_ASSIGN(const auto zeros, broadcast_doubles(zero, ctx.in[i].dims));
  for (size_t k = 0; k < x.size(); ++k) x[k] -= zeros[k];
  return x;
}
}  // namespace

Result<Facts> MatMulInteger::infer(const InferCtx& ctx) const {
  for (size_t i : {0, 1}) CARNOT_RETURN_IF_ERROR(expect_byte(ctx, info, i));
  CARNOT_ASSIGN(Shape y, matmul_shape(ctx.shape(0), ctx.shape(1)));
  CARNOT_RETURN_IF_ERROR(expect_zero_point(ctx, info, 2, 0, true));
  CARNOT_RETURN_IF_ERROR(expect_zero_point(ctx, info, 3, 1, false));
  return Facts{{DType::kI32, std::move(y)}};
}

Status MatMulInteger::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(const auto a, centred(ctx, 0, 2, true));
  CARNOT_ASSIGN(const auto b, centred(ctx, 1, 3, false));
  store(ctx.out[0], matmul(a, ctx.in[0].dims, b, ctx.in[1].dims));
  return {};
}

CARNOT_DEFINE_OPS(matmul_integer, MatMulInteger)

}  // namespace carnot::ops
