// SPDX-License-Identifier: Apache-2.0
#include "ops/lp_normalization.hpp"

#include <algorithm>
#include <cmath>

#include "ops/support_norm.hpp"

namespace carnot::ops {

Result<Facts> LpNormalization::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  if (p != 1 && p != 2) return invalid("attribute 'p' is {}; it must be 1 or 2", p);
  if (!(epsilon >= 0)) return invalid("attribute 'epsilon' is {}; it must be 0 or more", epsilon);
  CARNOT_RETURN_IF_ERROR(normalize_axis(axis, ctx.rank(0)));
  return Facts{{ctx.dtype(0), ctx.shape(0)}};
}

Status LpNormalization::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(auto y, to_doubles(ctx.in[0]));
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, ctx.in[0].rank()));
  const AxisSplit s = split_at(ctx.in[0].dims, a);
  for (int64_t o = 0; o < s.outer; ++o)
    for (int64_t i = 0; i < s.inner; ++i) {
      double* row = y.data() + o * s.extent * s.inner + i;
      double norm = 0;
      for (int64_t k = 0; k < s.extent; ++k)
        norm += p == 1 ? std::abs(row[k * s.inner]) : row[k * s.inner] * row[k * s.inner];
      if (p == 2) norm = std::sqrt(norm);
      if (norm < epsilon) norm = epsilon;
      for (int64_t k = 0; k < s.extent; ++k) row[k * s.inner] = norm == 0 ? 0 : row[k * s.inner] / norm;
    }
  store(ctx.out[0], y);
  return {};
}

std::optional<LpNormalization> LpNormalization::permuted(const std::vector<int64_t>& perm) const {
  auto to = permuted_axis(axis, perm);
  if (!to) return std::nullopt;
  LpNormalization other = *this;
  other.axis = *to;
  return other;
}

CARNOT_DEFINE_OPS(lp_normalization, LpNormalization)

}  // namespace carnot::ops
