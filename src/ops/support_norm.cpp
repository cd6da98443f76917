// SPDX-License-Identifier: Apache-2.0
#include "ops/support_norm.hpp"

namespace carnot::ops {

Status expect_broadcasts_to(const InferCtx& ctx, const OpInfo& info, size_t i, const Shape& shape) {
  if (!ctx.has(i)) return {};
  const Shape& got = ctx.shape(i);
  bool fits = got.size() <= shape.size();
  for (size_t k = 0; fits && k < got.size(); ++k) {
    const Dim &a = got[got.size() - 1 - k], &b = shape[shape.size() - 1 - k];
    fits = !a.is_constant() || a.is(1) || !b.is_constant() || a == b;
  }
  if (fits) return {};
  return invalid("{} has shape {}, which does not broadcast to {}", operand(info, i), to_string(got), to_string(shape));
}

Result<std::vector<double>> broadcast_doubles(const TensorView& t, const Dims& dims) {
  CARNOT_ASSIGN(const auto from, to_doubles(t));
  const Dims strides = strides_of(t.dims);
  std::vector<double> out(static_cast<size_t>(size_of(dims)));
  for (size_t i = 0; i < out.size(); ++i) {
    auto rest = static_cast<int64_t>(i);
    int64_t at = 0;
    for (size_t k = 0; k < dims.size(); ++k) {
      const int64_t extent = dims[dims.size() - 1 - k], index = rest % extent;
      rest /= extent;
      if (k >= t.dims.size()) continue;
      const size_t axis = t.dims.size() - 1 - k;
      if (t.dims[axis] != 1) at += index * strides[axis];
    }
    out[i] = from[static_cast<size_t>(at)];
  }
  return out;
}

Moments moments(std::span<const double> values) {
  Moments m;
  const auto n = static_cast<double>(values.size());
  for (double v : values) m.mean += v;
  m.mean /= n;
  for (double v : values) m.variance += (v - m.mean) * (v - m.mean);
  m.variance /= n;
  return m;
}

}  // namespace carnot::ops
