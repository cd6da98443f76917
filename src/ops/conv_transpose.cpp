// SPDX-License-Identifier: Apache-2.0
#include "ops/conv_transpose.hpp"

#include <algorithm>

#include "ops/support_spatial.hpp"

namespace carnot::ops {

namespace {
Result<std::vector<WindowAxis>> axes_of(const ConvTranspose& op, size_t spatial) {
  return window_axes({op.auto_pad, op.strides, op.pads, op.dilations}, spatial);
}

// output_shape may also name batch and channels; the spatial part counts.
int64_t wanted_extent(const ConvTranspose& op, size_t spatial, size_t i) {
  return op.output_shape[op.output_shape.size() - spatial + i];
}

int64_t extra(const ConvTranspose& op, size_t i) { return op.output_padding.empty() ? 0 : op.output_padding[i]; }
}  // namespace

std::vector<int64_t> begin_pads(const ConvTranspose& op, const Dims& in, const Dims& kernel) {
  const auto axes = *axes_of(op, in.size());
  std::vector<int64_t> out(in.size());
  for (size_t i = 0; i < in.size(); ++i) {
    out[i] = axes[i].pad_begin;
    if (op.output_shape.empty() && !op.auto_pad.starts_with("SAME")) continue;
    const int64_t wanted = op.output_shape.empty() ? in[i] * axes[i].stride : wanted_extent(op, in.size(), i);
    const int64_t full = axes[i].stride * (in[i] - 1) + extra(op, i) + (kernel[i] - 1) * axes[i].dilation + 1;
    const int64_t total = std::max<int64_t>(0, full - wanted);
    out[i] = op.auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
  }
  return out;
}

Result<Facts> ConvTranspose::infer(const InferCtx& ctx) const {
  CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 0));
  for (size_t i : {1, 2}) CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, i));
  const Shape &x = ctx.shape(0), &w = ctx.shape(1);
  CARNOT_RETURN_IF_ERROR(check_layout(layout, info, x));
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, 1, x.size()));
  const size_t spatial = x.size() - 2, c = channel_axis(layout, x.size());
  if (group < 1 || group > (int64_t{1} << 30)) return invalid("attribute 'group' is {}; it must be positive", group);
  CARNOT_ASSIGN(const auto axes, axes_of(*this, spatial));
  if (!kernel_shape.empty()) {
    CARNOT_RETURN_IF_ERROR(check_kernel(kernel_shape, spatial));
    for (size_t i = 0; i < spatial; ++i)
      CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, 1, i + 2, kernel_shape[i], "attribute 'kernel_shape'"));
  }
  CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, 1, 0, x[c], "the channels of 'x'"));
  if (w[0].is_constant() && w[0].value() % group != 0)
    return invalid("{} takes {} channels, which group {} does not divide", operand(info, 1), w[0].str(), group);
  if (!output_padding.empty() && output_padding.size() != spatial)
    return invalid("attribute 'output_padding' has {} numbers, {} are needed", output_padding.size(), spatial);
  if (!output_shape.empty() && output_shape.size() != spatial && output_shape.size() != x.size())
    return invalid("attribute 'output_shape' has {} numbers, {} are needed", output_shape.size(), spatial);
  for (const auto* list : {&output_padding, &output_shape})
    for (int64_t v : *list)
      if (v < 0 || v > (int64_t{1} << 30))
        return invalid("'output_padding' and 'output_shape' must not be negative or huge, got {}", v);
  Shape y = x;
  y[c] = w[1] * group;
  for (size_t i = 0; i < spatial; ++i) {
    Dim& extent = y[spatial_axis(layout, i)];
    const Dim in = extent;
    if (!output_shape.empty())
      extent = wanted_extent(*this, spatial, i);
    else if (auto_pad.starts_with("SAME"))
      extent = in * axes[i].stride;
    else
      extent = (in - 1) * axes[i].stride + extra(*this, i) + (w[i + 2] - 1) * axes[i].dilation + 1 -
               (axes[i].pad_begin + axes[i].pad_end);
    if (extent.is_constant() && extent.value() < 0)
      return invalid("spatial axis {}: {} elements and the padding leave {}", i, in.str(), extent.str());
  }
  CARNOT_RETURN_IF_ERROR(expect_vector(ctx, info, 2, y[c], "the channels of 'y'"));
  return Facts{{ctx.dtype(0), std::move(y)}};
}

Status ConvTranspose::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(const Planes x, load_planes(ctx.in[0], layout));
  CARNOT_ASSIGN(const auto w, to_doubles(ctx.in[1]));
  const Dims in = x.spatial(), kernel(ctx.in[1].dims.begin() + 2, ctx.in[1].dims.end());
  Planes y{plane_dims(ctx.out[0].dims, layout), {}};
  y.data.assign(static_cast<size_t>(size_of(y.dims)), 0.0);
  const Dims out = y.spatial(), out_strides = strides_of(out);
  CARNOT_ASSIGN(const auto axes, axes_of(*this, in.size()));
  const std::vector<int64_t> pads = begin_pads(*this, in, kernel);
  const int64_t n = x.batch(), channels = x.channels(), filters = y.channels(), per_group = filters / group;
  const int64_t in_area = size_of(in), out_area = size_of(out), taps = size_of(kernel);
  if (!x.data.empty() && !y.data.empty()) {
    Dims tap(kernel.size(), 0);
    for (int64_t t = 0; t < taps; ++t, next_index(tap, kernel)) {
      Dims at(in.size(), 0);
      int64_t from = 0;
      do {
        int64_t to = 0;
        bool inside = true;
        for (size_t i = 0; i < in.size(); ++i) {
          const int64_t p = at[i] * axes[i].stride - pads[i] + tap[i] * axes[i].dilation;
          inside = inside && p >= 0 && p < out[i];
          to += p * out_strides[i];
        }
        for (int64_t b = 0; inside && b < n; ++b)
          for (int64_t c = 0; c < channels; ++c) {
            const double v = x.data[static_cast<size_t>((b * channels + c) * in_area + from)];
            const int64_t first = c / (channels / group) * per_group;
            for (int64_t m = 0; m < per_group; ++m)
              y.data[static_cast<size_t>((b * filters + first + m) * out_area + to)] +=
                  v * w[static_cast<size_t>((c * per_group + m) * taps + t)];
          }
        ++from;
      } while (next_index(at, in));
    }
  }
  if (ctx.has(2)) {
    CARNOT_ASSIGN(const auto bias, to_doubles(ctx.in[2]));
    for (size_t i = 0; i < y.data.size(); ++i) y.data[i] += bias[i / static_cast<size_t>(out_area) % bias.size()];
  }
  store_planes(ctx.out[0], y, layout);
  return {};
}

std::optional<ConvTranspose> ConvTranspose::permuted(const std::vector<int64_t>& perm) const {
  auto to = permuted_layout(layout, perm);
  if (!to) return std::nullopt;
  ConvTranspose other = *this;
  other.layout = *to;
  return other;
}

CARNOT_DEFINE_OPS(conv_transpose, ConvTranspose)

}  // namespace carnot::ops
