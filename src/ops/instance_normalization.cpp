// SPDX-License-Identifier: Apache-2.0
#include "ops/instance_normalization.hpp"

#include <algorithm>
#include <cmath>

#include "ops/support_norm.hpp"
#include "ops/support_spatial.hpp"

namespace carnot::ops {

Result<Facts> InstanceNormalization::infer(const InferCtx& ctx) const {
  for (size_t i = 0; i < 3; ++i) CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, i));
  const Shape& x = ctx.shape(0);
  CARNOT_RETURN_IF_ERROR(check_layout(layout, info, x));
  for (size_t i : {1, 2})
    CARNOT_RETURN_IF_ERROR(expect_vector(ctx, info, i, x[channel_axis(layout, x.size())], "the channels of 'x'"));
  return Facts{{ctx.dtype(0), x}};
}

Status InstanceNormalization::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(Planes x, load_planes(ctx.in[0], layout));
  CARNOT_ASSIGN(const auto scale, to_doubles(ctx.in[1]));
  CARNOT_ASSIGN(const auto bias, to_doubles(ctx.in[2]));
  const auto area = static_cast<size_t>(size_of(x.spatial())), planes = static_cast<size_t>(x.batch() * x.channels());
  for (size_t p = 0; p < planes; ++p) {
    const std::span<double> plane(x.data.data() + p * area, area);
    const Moments m = moments(plane);
    const size_t c = p % scale.size();
    for (double& v : plane) v = (v - m.mean) / std::sqrt(m.variance + epsilon) * scale[c] + bias[c];
  }
  store_planes(ctx.out[0], x, layout);
  return {};
}

std::optional<InstanceNormalization> InstanceNormalization::permuted(const std::vector<int64_t>& perm) const {
  auto to = permuted_layout(layout, perm);
  if (!to) return std::nullopt;
  InstanceNormalization other = *this;
  other.layout = *to;
  return other;
}

CARNOT_DEFINE_OPS(instance_normalization, InstanceNormalization)

}  // namespace carnot::ops
