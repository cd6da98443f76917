// SPDX-License-Identifier: Apache-2.0
#include "ops/gemm.hpp"

#include "ops/support_check.hpp"

namespace carnot::ops {

Result<Facts> Gemm::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_number(ctx, info, 0));
  for (size_t i : {0, 1}) CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, i, 2));
  for (size_t i : {1, 2}) CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, i));
  const Shape &a = ctx.shape(0), &b = ctx.shape(1);
  const Dim &m = a[trans_a ? 1 : 0], &k = a[trans_a ? 0 : 1], &rows = b[trans_b ? 1 : 0], &n = b[trans_b ? 0 : 1];
  if (k.is_constant() && rows.is_constant() && !(k == rows))
    return invalid("input 0 ('a') {}{} has {} columns, but input 1 ('b') {}{} has {} rows", to_string(a),
                   trans_a ? " transposed" : "", k.str(), to_string(b), trans_b ? " transposed" : "", rows.str());
  const Shape out{m, n};
  if (ctx.has(2)) {
    const Shape& c = ctx.shape(2);
    // c may not widen the result, only be widened.
    bool fits = c.size() <= 2;
    for (size_t i = 0; fits && i < c.size(); ++i) {
      const Dim &x = c[c.size() - 1 - i], &y = out[1 - i];
      fits = !x.is_constant() || x.is(1) || !y.is_constant() || x == y;
    }
    if (!fits)
      return invalid("input 2 ('c') has shape {}, which does not broadcast to {}", to_string(c), to_string(out));
  }
  return Facts{{ctx.dtype(0), out}};
}

Status Gemm::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(const auto a, to_doubles(ctx.in[0]));
  CARNOT_ASSIGN(const auto b, to_doubles(ctx.in[1]));
  const int64_t m = ctx.out[0].dims[0], n = ctx.out[0].dims[1], k = ctx.in[0].dims[trans_a ? 0 : 1];
  std::vector<double> y(static_cast<size_t>(m * n));
  for (int64_t i = 0; i < m; ++i)
    for (int64_t p = 0; p < k; ++p) {
      const double scale = a[static_cast<size_t>(trans_a ? p * m + i : i * k + p)];
      for (int64_t j = 0; j < n; ++j)
        y[static_cast<size_t>(i * n + j)] += scale * b[static_cast<size_t>(trans_b ? j * k + p : p * n + j)];
    }
  for (double& v : y) v *= alpha;
  if (ctx.has(2)) {
    CARNOT_ASSIGN(const auto c, to_doubles(ctx.in[2]));
    Dims dims = ctx.in[2].dims;
    dims.insert(dims.begin(), 2 - dims.size(), 1);
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j)
        y[static_cast<size_t>(i * n + j)] +=
            beta * c[static_cast<size_t>((dims[0] == 1 ? 0 : i) * dims[1] + (dims[1] == 1 ? 0 : j))];
  }
  store(ctx.out[0], y);
  return {};
}

CARNOT_DEFINE_OPS(gemm, Gemm)

}  // namespace carnot::ops
