// SPDX-License-Identifier: Apache-2.0
#include "ops/lp_normalization.hpp"

#include <cmath>

#include "ops/support_lines.hpp"

namespace carnot::ops {

Result<Facts> LpNormalization::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  if (p != 1 && p != 2) return invalid("attribute 'p' is {}; it must be 1 or 2", p);
  if (!(epsilon >= 0)) return invalid("attribute 'epsilon' is {}; it must be 0 or more", epsilon);
  return infer_lines(*this, ctx);
}

Status LpNormalization::evaluate(EvalCtx& ctx) const {
  return evaluate_lines(ctx, axis, [this](const Line& x) {
    double norm = 0;
    for (int64_t k = 0; k < x.size; ++k) norm += p == 1 ? std::abs(x[k]) : x[k] * x[k];
    if (p == 2) norm = std::sqrt(norm);
    if (norm < epsilon) norm = epsilon;
    for (int64_t k = 0; k < x.size; ++k) x[k] = norm == 0 ? 0 : x[k] / norm;
  });
}

std::optional<LpNormalization> LpNormalization::permuted(const std::vector<int64_t>& perm) const {
  return permuted_lines(*this, perm);
}

CARNOT_DEFINE_OPS(lp_normalization, LpNormalization)

}  // namespace carnot::ops
