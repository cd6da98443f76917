// SPDX-License-Identifier: Apache-2.0
#include "ops/qlinear_matmul.hpp"

#include "ops/support_matmul.hpp"
#include "ops/support_norm.hpp"
#include "ops/support_quantize.hpp"

namespace carnot::ops {

namespace {
// A parameter along the rows of a (or columns of b), or of any shape that broadcasts.
Result<std::vector<double>> spread(const EvalCtx& ctx, size_t i, const Dims& dims, bool rows) {
  TensorView t = ctx.in[i];
  if (rows && t.rank() == 1 && dims.size() > 1) t.dims.push_back(1);
  return broadcast_doubles(t, dims);
}

Result<std::vector<double>> dequantized(const EvalCtx& ctx, size_t i, bool rows) {
  CARNOT_ASSIGN(auto x, to_doubles(ctx.in[i]));
  CARNOT_ASSIGN(const auto scale, spread(ctx, i + 1, ctx.in[i].dims, rows));
  CARNOT_ASSIGN(const auto zero, spread(ctx, i + 2, ctx.in[i].dims, rows));
  for (size_t k = 0; k < x.size(); ++k) x[k] = (x[k] - zero[k]) * scale[k];
  return x;
}

// Scale and zero point behind operand i.
Status expect_parameters(const InferCtx& ctx, const OpInfo& info, size_t i, const Shape& x, bool rows) {
  for (size_t k : {i, i + 1}) {
    if (ctx.rank(k) == 0) continue;
    if (ctx.rank(k) == 1)
      CARNOT_RETURN_IF_ERROR(expect_scalar_or_vector(ctx, info, k,
                                                     x.empty()              ? Dim(1)
                                                     : rows && x.size() > 1 ? x[x.size() - 2]
                                                                            : x.back()));
    else
      CARNOT_RETURN_IF_ERROR(expect_broadcasts_to(ctx, info, k, x));
  }
  return expect_float(ctx, info, i);
}
}  // namespace

Result<Facts> QLinearMatMul::infer(const InferCtx& ctx) const {
  for (size_t i : {0, 3, 7}) CARNOT_RETURN_IF_ERROR(expect_byte(ctx, info, i));
  CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, 2, 0));
  CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, 5, 3));
  CARNOT_ASSIGN(Shape y, matmul_shape(ctx.shape(0), ctx.shape(3)));
  CARNOT_RETURN_IF_ERROR(expect_parameters(ctx, info, 1, ctx.shape(0), true));
  CARNOT_RETURN_IF_ERROR(expect_parameters(ctx, info, 4, ctx.shape(3), false));
  CARNOT_RETURN_IF_ERROR(expect_parameters(ctx, info, 6, y, true));
  return Facts{{ctx.dtype(7), std::move(y)}};
}

Status QLinearMatMul::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(const auto a, dequantized(ctx, 0, true));
  CARNOT_ASSIGN(const auto b, dequantized(ctx, 3, false));
  std::vector<double> y = matmul(a, ctx.in[0].dims, b, ctx.in[3].dims);
  CARNOT_ASSIGN(const auto scale, spread(ctx, 6, ctx.out[0].dims, true));
  CARNOT_ASSIGN(const auto zero, spread(ctx, 7, ctx.out[0].dims, true));
  const IntRange range = int_range(ctx.out[0].dtype);
  for (size_t i = 0; i < y.size(); ++i) y[i] = quantize(y[i] / scale[i], zero[i], range);
  store(ctx.out[0], y);
  return {};
}

CARNOT_DEFINE_OPS(qlinear_matmul, QLinearMatMul)

}  // namespace carnot::ops
