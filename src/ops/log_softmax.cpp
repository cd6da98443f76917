// SPDX-License-Identifier: Apache-2.0
#include "ops/log_softmax.hpp"

#include <cmath>
#include <limits>

#include "ops/support_lines.hpp"

namespace carnot::ops {

Result<Facts> LogSoftmax::infer(const InferCtx& ctx) const { return infer_lines(*this, ctx); }

Status LogSoftmax::evaluate(EvalCtx& ctx) const {
  return evaluate_lines(ctx, axis, [](const Line& x) {
    double most = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t k = 0; k < x.size; ++k) most = std::fmax(most, x[k]);
    for (int64_t k = 0; k < x.size; ++k) sum += std::exp(x[k] - most);
    for (int64_t k = 0; k < x.size; ++k) x[k] = x[k] - most - std::log(sum);
  });
}

std::optional<LogSoftmax> LogSoftmax::permuted(const std::vector<int64_t>& perm) const {
  return permuted_lines(*this, perm);
}

CARNOT_DEFINE_OPS(log_softmax, LogSoftmax)

}  // namespace carnot::ops
