// SPDX-License-Identifier: Apache-2.0
#include "ops/group_normalization.hpp"

#include <algorithm>
#include <cmath>

#include "ops/support_norm.hpp"
#include "ops/support_spatial.hpp"

namespace carnot::ops {

Result<Facts> GroupNormalization::infer(const InferCtx& ctx) const {
  for (size_t i = 0; i < 3; ++i) CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, i));
  const Shape& x = ctx.shape(0);
  if (x.size() < 2) return invalid("{} must have batch and channels, got shape {}", operand(info, 0), to_string(x));
  if (num_groups < 1) return invalid("attribute 'num_groups' is {}; it must be positive", num_groups);
  if (layout != "nchw") CARNOT_RETURN_IF_ERROR(check_layout(layout, info, x));
  const Dim& channels = x[channel_axis(layout, x.size())];
  if (channels.is_constant() && channels.value() % num_groups != 0)
    return invalid("{} has {} channels, which num_groups {} does not divide", operand(info, 0), channels.str(),
                   num_groups);
  for (size_t i : {1, 2}) CARNOT_RETURN_IF_ERROR(expect_vector(ctx, info, i, channels, "the channels of 'x'"));
  return Facts{{ctx.dtype(0), x}};
}

Status GroupNormalization::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(Planes planes, load_planes(ctx.in[0], layout));
  std::vector<double>& y = planes.data;
  CARNOT_ASSIGN(const auto scale, to_doubles(ctx.in[1]));
  CARNOT_ASSIGN(const auto bias, to_doubles(ctx.in[2]));
  const auto area = static_cast<size_t>(size_of(planes.spatial())),
             groups = static_cast<size_t>(planes.batch() * num_groups);
  const size_t size = groups ? y.size() / groups : 0;
  for (size_t g = 0; g < groups; ++g) {
    const Moments m = moments({y.data() + g * size, size});
    for (size_t i = g * size; i < (g + 1) * size; ++i) {
      const size_t c = i / area % scale.size();
      y[i] = (y[i] - m.mean) / std::sqrt(m.variance + epsilon) * scale[c] + bias[c];
    }
  }
  store_planes(ctx.out[0], planes, layout);
  return {};
}

std::optional<GroupNormalization> GroupNormalization::permuted(const std::vector<int64_t>& perm) const {
  auto to = permuted_layout(layout, perm);
  if (!to) return std::nullopt;
  GroupNormalization other = *this;
  other.layout = *to;
  return other;
}

CARNOT_DEFINE_OPS(group_normalization, GroupNormalization)

}  // namespace carnot::ops
