// SPDX-License-Identifier: Apache-2.0
#include "ops/det.hpp"

#include <cmath>
#include <utility>

#include "ops/support_check.hpp"

namespace carnot::ops {

namespace {
// Elimination with the largest pivot of each column; `m` is overwritten.
double determinant(std::vector<double>& m, size_t n) {
  double det = 1;
  for (size_t c = 0; c < n; ++c) {
    size_t pivot = c;
    for (size_t r = c + 1; r < n; ++r)
      if (std::abs(m[r * n + c]) > std::abs(m[pivot * n + c])) pivot = r;
    if (m[pivot * n + c] == 0) return 0;
    if (pivot != c) {
      for (size_t k = 0; k < n; ++k) std::swap(m[c * n + k], m[pivot * n + k]);
      det = -det;
    }
    det *= m[c * n + c];
    for (size_t r = c + 1; r < n; ++r) {
      const double factor = m[r * n + c] / m[c * n + c];
      for (size_t k = c; k < n; ++k) m[r * n + k] -= factor * m[c * n + k];
    }
  }
  return det;
}
}  // namespace

Result<Facts> Det::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  const Shape& x = ctx.shape(0);
  if (x.size() < 2) return invalid("input 0 ('x') must have rank 2 or more, got shape {}", to_string(x));
  const Dim &rows = x[x.size() - 2], &cols = x[x.size() - 1];
  if (rows.is_constant() && cols.is_constant() && !(rows == cols))
    return invalid("input 0 ('x') of shape {} holds no square matrices", to_string(x));
  return Facts{{ctx.dtype(0), Shape(x.begin(), x.end() - 2)}};
}

Status Det::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  const auto n = static_cast<size_t>(x.dims[x.rank() - 1]);
  if (x.dims[x.rank() - 2] != x.dims[x.rank() - 1])
    return invalid("input 0 ('x') of shape {} holds no square matrices", to_string(x.dims));
  CARNOT_ASSIGN(const std::vector<double> all, to_doubles(x));
  std::vector<double> result;
  for (int64_t i = 0; i < ctx.out[0].size(); ++i) {
    const auto first = all.begin() + i * static_cast<int64_t>(n * n);
    std::vector<double> matrix(first, first + static_cast<int64_t>(n * n));
    result.push_back(determinant(matrix, n));
  }
  store(ctx.out[0], result);
  return {};
}

CARNOT_DEFINE_OPS(det, Det)

}  // namespace carnot::ops
