// SPDX-License-Identifier: Apache-2.0
#include "ops/support_check.hpp"

namespace carnot::ops {

namespace {
std::string_view bare_name(const OpInfo& info, size_t i) {
  std::string_view name = info.inputs[std::min(i, info.inputs.size() - 1)];
  if (name.ends_with('?') || name.ends_with('*')) name.remove_suffix(1);
  return name;
}
}  // namespace

std::string operand(const OpInfo& info, size_t i) { return fmt::format("input {} ('{}')", i, bare_name(info, i)); }

Status expect_float(const InferCtx& ctx, const OpInfo& info, size_t i) {
  if (!ctx.has(i) || is_float(ctx.dtype(i))) return {};
  return invalid("{} must be a floating-point tensor, got {}", operand(info, i), dtype_name(ctx.dtype(i)));
}

Status expect_number(const InferCtx& ctx, const OpInfo& info, size_t i) {
  if (!ctx.has(i) || is_float(ctx.dtype(i)) || is_integer(ctx.dtype(i))) return {};
  return invalid("{} must be a numeric tensor, got {}", operand(info, i), dtype_name(ctx.dtype(i)));
}

Status expect_dtype(const InferCtx& ctx, const OpInfo& info, size_t i, DType dtype) {
  if (!ctx.has(i) || ctx.dtype(i) == dtype) return {};
  return invalid("{} must be {}, got {}", operand(info, i), dtype_name(dtype), dtype_name(ctx.dtype(i)));
}

Status expect_same_dtype(const InferCtx& ctx, const OpInfo& info, size_t i, size_t as) {
  if (!ctx.has(i) || !ctx.has(as) || ctx.dtype(i) == ctx.dtype(as)) return {};
  return invalid("{} is {}, but {} is {}; both must have one type", operand(info, i), dtype_name(ctx.dtype(i)),
                 operand(info, as), dtype_name(ctx.dtype(as)));
}

Status expect_rank(const InferCtx& ctx, const OpInfo& info, size_t i, size_t rank) {
  if (!ctx.has(i) || ctx.rank(i) == rank) return {};
  return invalid("{} must have rank {}, got shape {}", operand(info, i), rank, to_string(ctx.shape(i)));
}

Status expect_dim(const InferCtx& ctx, const OpInfo& info, size_t i, size_t axis, const Dim& needed,
                  std::string_view why) {
  if (!ctx.has(i)) return {};
  const Dim& got = ctx.shape(i)[axis];
  if (!got.is_constant() || !needed.is_constant() || got == needed) return {};
  return invalid("{} has shape {}: axis {} is {}, but {} ({}) is needed", operand(info, i), to_string(ctx.shape(i)),
                 axis, got.str(), needed.str(), why);
}

Status expect_vector(const InferCtx& ctx, const OpInfo& info, size_t i, const Dim& needed, std::string_view why) {
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, i, 1));
  return expect_dim(ctx, info, i, 0, needed, why);
}

void store(TensorView& to, std::span<const double> from) {
  dispatch_dtype(to.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* p = to.as<T>();
    for (size_t i = 0; i < from.size(); ++i) {
      if constexpr (std::is_integral_v<T>) {  // a number that no int64 holds would be undefined behaviour
        const bool fits = from[i] >= -0x1p63 && from[i] < 0x1p63;
        p[i] = static_cast<T>(fits ? static_cast<int64_t>(from[i]) : 0);
      } else {
        p[i] = static_cast<T>(from[i]);
      }
    }
  });
}

void store(TensorView& to, std::span<const int64_t> from) {
  dispatch_dtype(to.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* p = to.as<T>();
    for (size_t i = 0; i < from.size(); ++i) p[i] = static_cast<T>(from[i]);
  });
}

AxisSplit split_at(const Dims& dims, int64_t axis) {
  AxisSplit s;
  for (size_t i = 0; i < dims.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    (at < axis ? s.outer : at == axis ? s.extent : s.inner) *= dims[i];
  }
  return s;
}

std::optional<int64_t> permuted_axis(int64_t axis, const std::vector<int64_t>& perm) {
  const auto rank = static_cast<int64_t>(perm.size());
  if (axis < 0) axis += rank;
  for (int64_t i = 0; i < rank; ++i)
    if (perm[static_cast<size_t>(i)] == axis) return i;
  return std::nullopt;
}

}  // namespace carnot::ops
