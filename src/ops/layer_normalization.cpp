// SPDX-License-Identifier: Apache-2.0
#include "ops/layer_normalization.hpp"

#include <cmath>

#include "ops/support_norm.hpp"

namespace carnot::ops {

Result<Facts> LayerNormalization::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  for (size_t i : {1, 2}) CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, i));
  const Shape& x = ctx.shape(0);
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, x.size()));
  const Shape normalized(x.begin() + a, x.end());
  for (size_t i : {1, 2}) CARNOT_RETURN_IF_ERROR(expect_broadcasts_to(ctx, info, i, normalized));
  Shape statistics = x;
  std::fill(statistics.begin() + a, statistics.end(), Dim(1));
  // Statistics are f32 whatever x is, unless stash_type says otherwise.
  const DType stash = ctx.dtype(0) == DType::kF64 ? DType::kF64 : stash_type == 16 ? DType::kBF16 : DType::kF32;
  return Facts{{ctx.dtype(0), x}, {stash, statistics}, {stash, statistics}};
}

Status LayerNormalization::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(auto y, to_doubles(ctx.in[0]));
  const Dims& dims = ctx.in[0].dims;
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, dims.size()));
  const Dims normalized(dims.begin() + a, dims.end());
  const auto inner = static_cast<size_t>(size_of(normalized));
  const size_t rows = inner ? y.size() / inner : 0;
  CARNOT_ASSIGN(const auto scale, broadcast_doubles(ctx.in[1], normalized));
  std::vector<double> bias(inner, 0.0);
  if (ctx.has(2)) {
    CARNOT_ASSIGN(bias, broadcast_doubles(ctx.in[2], normalized));
  }
  std::vector<double> means(rows), inverses(rows);
  for (size_t r = 0; r < rows; ++r) {
    double* row = y.data() + r * inner;
    const Moments m = moments({row, inner});
    means[r] = m.mean;
    inverses[r] = 1 / std::sqrt(m.variance + epsilon);
    for (size_t i = 0; i < inner; ++i) row[i] = (row[i] - m.mean) * inverses[r] * scale[i] + bias[i];
  }
  if (ctx.wants(0)) store(ctx.out[0], y);
  if (ctx.wants(1)) store(ctx.out[1], means);
  if (ctx.wants(2)) store(ctx.out[2], inverses);
  return {};
}

CARNOT_DEFINE_OPS(layer_normalization, LayerNormalization)

}  // namespace carnot::ops
