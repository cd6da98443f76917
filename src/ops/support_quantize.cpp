// SPDX-License-Identifier: Apache-2.0
#include "ops/support_quantize.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace carnot::ops {

IntRange int_range(DType dtype) {
  IntRange range;
  dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_integral_v<T>)
      range = {static_cast<double>(std::numeric_limits<T>::lowest()),
               static_cast<double>(std::numeric_limits<T>::max())};
  });
  return range;
}

double quantize(double value, double zero_point, IntRange range) {
  const double rounded = std::nearbyint(static_cast<double>(static_cast<float>(value)));
  if (std::isnan(rounded)) return zero_point;
  return std::min(std::max(rounded + zero_point, range.low), range.high);
}

Status expect_byte(const InferCtx& ctx, const OpInfo& info, size_t i) {
  if (!ctx.has(i) || ctx.dtype(i) == DType::kU8 || ctx.dtype(i) == DType::kI8) return {};
  return invalid("{} must be u8 or i8, got {}", operand(info, i), dtype_name(ctx.dtype(i)));
}

Status expect_scalar_or_vector(const InferCtx& ctx, const OpInfo& info, size_t i, const Dim& channels) {
  if (!ctx.has(i) || ctx.rank(i) == 0 || (ctx.rank(i) == 1 && ctx.shape(i)[0].is(1))) return {};
  return expect_vector(ctx, info, i, channels, "one for each channel");
}

Result<Parameter> load_parameter(const EvalCtx& ctx, size_t i, double absent) {
  if (!ctx.has(i)) return Parameter{{absent}};
  CARNOT_ASSIGN(auto values, to_doubles(ctx.in[i]));
  if (values.empty()) return invalid("input {} is empty", i);
  return Parameter{std::move(values)};
}

size_t ScaleIndex::at(size_t i) const {
  if (scale_dims.empty() || size_of(scale_dims) == 1) return 0;
  const AxisSplit s = split_at(dims, axis);
  const auto flat = static_cast<int64_t>(i), k = flat / s.inner % s.extent;
  if (scale_dims.size() == 1) return static_cast<size_t>(k);
  const int64_t blocks = scale_dims[static_cast<size_t>(axis)];
  return static_cast<size_t>((flat / (s.inner * s.extent) * blocks + k / block_size) * s.inner + flat % s.inner);
}

Status expect_scales(const InferCtx& ctx, const OpInfo& info, int64_t axis, int64_t block_size) {
  const Shape &x = ctx.shape(0), &scale = ctx.shape(1);
  // One number may be written as [] or [1], and the other of the two otherwise: exporters do.
  const auto one = [](const Shape& shape) { return shape.empty() || (shape.size() == 1 && shape[0].is(1)); };
  const bool both_one = ctx.has(2) && one(scale) && one(ctx.shape(2));
  if (ctx.has(2) && !both_one && ctx.rank(2) != scale.size())
    return invalid("{} and {} must have one shape, got {} and {}", operand(info, 1), operand(info, 2), to_string(scale),
                   to_string(ctx.shape(2)));
  if (ctx.has(2) && !both_one)
    for (size_t k = 0; k < scale.size(); ++k)
      CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, 2, k, scale[k], "the shape of the scale"));
  if (block_size < 0) return invalid("attribute 'block_size' is {}; it must not be negative", block_size);
  if (block_size == 0) {
    if (scale.empty() || (scale.size() == 1 && scale[0].is(1))) return {};
    CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, x.size()));
    return expect_vector(ctx, info, 1, x[static_cast<size_t>(a)], "the extent of 'x' along the axis");
  }
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, x.size()));
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 1, x.size()));
  for (size_t k = 0; k < x.size(); ++k)
    CARNOT_RETURN_IF_ERROR(expect_dim(
        ctx, info, 1, k, static_cast<int64_t>(k) == a ? Dim::ceildiv(x[k], block_size) : x[k], "blocks of 'x'"));
  return {};
}

}  // namespace carnot::ops
