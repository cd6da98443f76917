// SPDX-License-Identifier: Apache-2.0
#include "ops/support_pool.hpp"

namespace carnot::ops {

Result<Shape> pool_shape(const PoolAttrs& attrs, const OpInfo& info, const Shape& x) {
  CARNOT_RETURN_IF_ERROR(check_layout(attrs.layout, info, x));
  const size_t spatial = x.size() - 2;
  CARNOT_RETURN_IF_ERROR(check_kernel(attrs.kernel, spatial));
  CARNOT_ASSIGN(const auto axes, window_axes(attrs.window, spatial));
  Shape y = x;
  for (size_t i = 0; i < spatial; ++i) {
    const size_t at = spatial_axis(attrs.layout, i);
    CARNOT_ASSIGN(y[at], window_output(axes[i], attrs.window.auto_pad, x[at], attrs.kernel[i], attrs.ceil_mode, i));
  }
  return y;
}

void for_each_window(const PoolAttrs& attrs, const Dims& in, const Dims& out, const WindowFn& fn) {
  auto axes = *window_axes(attrs.window, in.size());
  const Dims kernel(attrs.kernel.begin(), attrs.kernel.end());
  for (size_t i = 0; i < in.size(); ++i) resolve_pads(axes[i], attrs.window.auto_pad, in[i], kernel[i]);
  const Dims strides = strides_of(in);
  if (size_of(out) == 0) return;
  std::vector<int64_t> inside;
  Dims at(out.size(), 0);
  int64_t position = 0;
  do {
    inside.clear();
    int64_t padded = 0;
    Dims tap(kernel.size(), 0);
    do {
      bool in_input = true, in_padding = true;
      int64_t flat = 0;
      for (size_t i = 0; i < in.size(); ++i) {
        const int64_t p = at[i] * axes[i].stride - axes[i].pad_begin + tap[i] * axes[i].dilation;
        in_input = in_input && p >= 0 && p < in[i];
        in_padding = in_padding && p < in[i] + axes[i].pad_end;
        flat += p * strides[i];
      }
      if (in_input) inside.push_back(flat);
      padded += in_padding;
    } while (next_index(tap, kernel));
    fn(position++, inside, padded);
  } while (next_index(at, out));
}

Result<Shape> global_pool_shape(std::string_view layout, const OpInfo& info, const Shape& x) {
  CARNOT_RETURN_IF_ERROR(check_layout(layout, info, x));
  Shape y = x;
  for (size_t i = 0; i + 2 < x.size(); ++i) y[spatial_axis(layout, i)] = 1;
  return y;
}

Status global_pool(EvalCtx& ctx, std::string_view layout, const std::function<double(std::span<const double>)>& fold) {
  CARNOT_ASSIGN(const Planes x, load_planes(ctx.in[0], layout));
  const auto area = static_cast<size_t>(size_of(x.spatial())), planes = static_cast<size_t>(x.batch() * x.channels());
  std::vector<double> y(planes);  // one number a plane: both layouts look alike
  for (size_t i = 0; i < planes; ++i) y[i] = fold({x.data.data() + i * area, area});
  store(ctx.out[0], y);
  return {};
}

}  // namespace carnot::ops
