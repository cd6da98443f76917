// SPDX-License-Identifier: Apache-2.0
#include "ops/softmax.hpp"

#include <cmath>
#include <limits>

#include "ops/support_lines.hpp"

namespace carnot::ops {

Result<Facts> Softmax::infer(const InferCtx& ctx) const { return infer_lines(*this, ctx); }

Status Softmax::evaluate(EvalCtx& ctx) const {
  return evaluate_lines(ctx, axis, [](const Line& x) {
    double most = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t k = 0; k < x.size; ++k) most = std::fmax(most, x[k]);
    for (int64_t k = 0; k < x.size; ++k) sum += std::exp(x[k] - most);
    for (int64_t k = 0; k < x.size; ++k) x[k] = std::exp(x[k] - most) / sum;
  });
}

std::optional<Softmax> Softmax::permuted(const std::vector<int64_t>& perm) const { return permuted_lines(*this, perm); }

CARNOT_DEFINE_OPS(softmax, Softmax)

}  // namespace carnot::ops
