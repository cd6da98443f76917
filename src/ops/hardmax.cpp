// SPDX-License-Identifier: Apache-2.0
#include "ops/hardmax.hpp"

#include "ops/support_lines.hpp"

namespace carnot::ops {

Result<Facts> Hardmax::infer(const InferCtx& ctx) const { return infer_lines(*this, ctx); }

Status Hardmax::evaluate(EvalCtx& ctx) const {
  return evaluate_lines(ctx, axis, [](const Line& x) {
    int64_t best = 0;
    for (int64_t k = 1; k < x.size; ++k)
      if (x[k] > x[best]) best = k;
    for (int64_t k = 0; k < x.size; ++k) x[k] = k == best ? 1 : 0;
  });
}

std::optional<Hardmax> Hardmax::permuted(const std::vector<int64_t>& perm) const { return permuted_lines(*this, perm); }

CARNOT_DEFINE_OPS(hardmax, Hardmax)

}  // namespace carnot::ops
