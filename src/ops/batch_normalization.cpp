// SPDX-License-Identifier: Apache-2.0
#include "ops/batch_normalization.hpp"

#include <cmath>

#include "ops/support_spatial.hpp"

namespace carnot::ops {

Result<Facts> BatchNormalization::infer(const InferCtx& ctx) const {
  if (training_mode || ctx.outputs() > 1)
    return fail(Code::kUnsupported,
                "this is a network in training (training_mode {}, {} outputs); export it for inference (model.eval())",
                training_mode, ctx.outputs());
  for (size_t i = 0; i < 5; ++i) CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, i));
  if (layout != "nchw" && layout != "nhwc")
    return invalid("attribute 'layout' is \"{}\"; it must be \"nchw\" or \"nhwc\"", layout);
  const Shape& x = ctx.shape(0);
  if (x.empty()) return invalid("{} must have a batch axis, got a scalar", operand(info, 0));
  // A vector is a batch of single channels.
  const Dim channels = x.size() == 1 ? Dim(1) : x[channel_axis(layout, x.size())];
  for (size_t i = 1; i < 5; ++i) CARNOT_RETURN_IF_ERROR(expect_vector(ctx, info, i, channels, "the channels of 'x'"));
  return Facts{{ctx.dtype(0), x}};
}

Status BatchNormalization::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(auto y, to_doubles(ctx.in[0]));
  CARNOT_ASSIGN(const auto scale, to_doubles(ctx.in[1]));
  CARNOT_ASSIGN(const auto bias, to_doubles(ctx.in[2]));
  CARNOT_ASSIGN(const auto mean, to_doubles(ctx.in[3]));
  CARNOT_ASSIGN(const auto var, to_doubles(ctx.in[4]));
  const Dims& dims = ctx.in[0].dims;
  const auto inner = static_cast<size_t>(
      dims.size() < 2 ? 1 : split_at(dims, static_cast<int64_t>(channel_axis(layout, dims.size()))).inner);
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t c = i / inner % scale.size();
    y[i] = (y[i] - mean[c]) / std::sqrt(var[c] + epsilon) * scale[c] + bias[c];
  }
  store(ctx.out[0], y);
  return {};
}

std::optional<BatchNormalization> BatchNormalization::permuted(const std::vector<int64_t>& perm) const {
  auto to = permuted_layout(layout, perm);
  if (!to) return std::nullopt;
  BatchNormalization other = *this;
  other.layout = *to;
  return other;
}

CARNOT_DEFINE_OPS(batch_normalization, BatchNormalization)

}  // namespace carnot::ops
