// SPDX-License-Identifier: Apache-2.0
#include "ops/rms_normalization.hpp"

#include <algorithm>
#include <cmath>

#include "ops/support_norm.hpp"

namespace carnot::ops {

Result<Facts> RmsNormalization::infer(const InferCtx& ctx) const {
  for (size_t i : {0, 1}) CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, i));
  const Shape& x = ctx.shape(0);
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, x.size()));
  CARNOT_RETURN_IF_ERROR(expect_broadcasts_to(ctx, info, 1, Shape(x.begin() + a, x.end())));
  return Facts{{ctx.dtype(0), x}};
}

Status RmsNormalization::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(auto y, to_doubles(ctx.in[0]));
  const Dims& dims = ctx.in[0].dims;
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, dims.size()));
  const Dims normalized(dims.begin() + a, dims.end());
  CARNOT_ASSIGN(const auto scale, broadcast_doubles(ctx.in[1], normalized));
  const size_t inner = scale.size();
  for (size_t begin = 0; inner && begin < y.size(); begin += inner) {
    double sum = 0;
    for (size_t i = 0; i < inner; ++i) sum += y[begin + i] * y[begin + i];
    const double root = std::sqrt(sum / static_cast<double>(inner) + epsilon);
    for (size_t i = 0; i < inner; ++i) y[begin + i] = y[begin + i] / root * scale[i];
  }
  store(ctx.out[0], y);
  return {};
}

CARNOT_DEFINE_OPS(rms_normalization, RmsNormalization)

}  // namespace carnot::ops
