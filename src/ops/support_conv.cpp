// SPDX-License-Identifier: Apache-2.0
#include "ops/support_conv.hpp"

#include <algorithm>

namespace carnot::ops {

Result<Shape> conv_shape(const Conv& conv, const InferCtx& ctx, const OpInfo& info, size_t w_index) {
  const Shape &x = ctx.shape(0), &w = ctx.shape(w_index);
  CARNOT_RETURN_IF_ERROR(check_layout(conv.layout, info, x));
  CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, w_index, x.size()));
  const size_t spatial = x.size() - 2;
  if (conv.group < 1 || conv.group > (int64_t{1} << 30))
    return invalid("attribute 'group' is {}; it must be positive", conv.group);
  CARNOT_ASSIGN(const auto axes, window_axes({conv.auto_pad, conv.strides, conv.pads, conv.dilations}, spatial));
  if (!conv.kernel_shape.empty()) {
    CARNOT_RETURN_IF_ERROR(check_kernel(conv.kernel_shape, spatial));
    for (size_t i = 0; i < spatial; ++i)
      CARNOT_RETURN_IF_ERROR(expect_dim(ctx, info, w_index, i + 2, conv.kernel_shape[i], "attribute 'kernel_shape'"));
  }
  const size_t c = channel_axis(conv.layout, x.size());
  if (x[c].is_constant() && w[1].is_constant() && x[c].value() != w[1].value() * conv.group)
    return invalid("{} has {} channels, but {} {} with group {} takes {}", operand(info, 0), x[c].str(),
                   operand(info, w_index), to_string(w), conv.group, w[1].value() * conv.group);
  if (w[0].is_constant() && w[0].value() % conv.group != 0)
    return invalid("{} makes {} channels, which group {} does not divide", operand(info, w_index), w[0].str(),
                   conv.group);
  Shape y = x;
  y[c] = w[0];
  for (size_t i = 0; i < spatial; ++i) {
    const size_t at = spatial_axis(conv.layout, i);
    if (w[i + 2].is(0)) return invalid("{} {} has an empty window", operand(info, w_index), to_string(w));
    CARNOT_ASSIGN(y[at], window_output(axes[i], conv.auto_pad, x[at], w[i + 2], false, i));
  }
  return y;
}

Planes convolve(const Conv& conv, const Planes& x, std::span<const double> w, const Dims& w_dims) {
  const Dims in = x.spatial(), kernel(w_dims.begin() + 2, w_dims.end());
  const size_t spatial = in.size();
  auto axes = *window_axes({conv.auto_pad, conv.strides, conv.pads, conv.dilations}, spatial);
  Dims out(spatial);
  for (size_t i = 0; i < spatial; ++i) {
    resolve_pads(axes[i], conv.auto_pad, in[i], kernel[i]);
    out[i] = window_output(axes[i], conv.auto_pad, in[i], kernel[i], false, i)->value();
  }
  const int64_t n = x.batch(), channels = x.channels(), filters = w_dims[0], depth = w_dims[1],
                per_group = filters / conv.group;
  Planes y{{n, filters}, {}};
  y.dims.insert(y.dims.end(), out.begin(), out.end());
  y.data.assign(static_cast<size_t>(size_of(y.dims)), 0.0);
  if (y.data.empty() || x.data.empty()) return y;
  const Dims in_strides = strides_of(in), out_strides = strides_of(out);
  const int64_t taps = size_of(kernel), in_area = size_of(in), out_area = size_of(out), width = in.back(),
                columns = out.back();
  const WindowAxis& row_axis = axes.back();

  // For each weight, add weight * x along whole rows of y: the innermost loop walks memory.
  Dims tap(spatial, 0);
  for (int64_t t = 0; t < taps; ++t, next_index(tap, kernel)) {
    const int64_t shift =
        tap.back() * row_axis.dilation - row_axis.pad_begin;  // column of x = column of y * stride + shift
    const int64_t begin = shift >= 0 ? 0 : (-shift + row_axis.stride - 1) / row_axis.stride;
    const int64_t end = width <= shift ? 0 : std::min(columns, (width - 1 - shift) / row_axis.stride + 1);
    const Dims rows(out.begin(), out.end() - 1);
    Dims row(spatial - 1, 0);
    do {
      int64_t from = shift, to = 0;
      bool inside = true;
      for (size_t i = 0; i + 1 < spatial; ++i) {
        const int64_t at = row[i] * axes[i].stride - axes[i].pad_begin + tap[i] * axes[i].dilation;
        inside = inside && at >= 0 && at < in[i];
        from += at * in_strides[i];
        to += row[i] * out_strides[i];
      }
      if (!inside) continue;
      for (int64_t b = 0; b < n; ++b)
        for (int64_t o = 0; o < filters; ++o) {
          double* into = y.data.data() + (b * filters + o) * out_area + to;
          for (int64_t c = 0; c < depth; ++c) {
            const double* source = x.data.data() + (b * channels + o / per_group * depth + c) * in_area;
            const double weight = w[static_cast<size_t>((o * depth + c) * taps + t)];
            for (int64_t i = begin; i < end; ++i) into[i] += weight * source[from + i * row_axis.stride];
          }
        }
    } while (next_index(row, rows));
  }
  return y;
}

}  // namespace carnot::ops
