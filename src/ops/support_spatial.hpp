// SPDX-License-Identifier: Apache-2.0
// Sliding windows over the spatial axes of [n, c, spatial...] ("nchw") or [n, spatial..., c] ("nhwc"): what
// convolutions and pools share.
#pragma once
#include <span>

#include "ops/support_check.hpp"
#include "ops/support_shape.hpp"  // next_index

namespace carnot::ops {

// Attributes as ONNX names them; an empty list means the default.
struct WindowAttrs {
  std::string_view auto_pad;  // "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"
  std::span<const int64_t> strides, pads, dilations;
};

// One spatial axis of a window.
struct WindowAxis {
  int64_t stride = 1, dilation = 1, pad_begin = 0, pad_end = 0;
};

// Checks the attributes against the number of spatial axes: strides and dilations positive, pads not negative, none
// absurdly large. Pads of SAME_* depend on the input and are left 0 here.
Result<std::vector<WindowAxis>> window_axes(const WindowAttrs& attrs, size_t spatial);
// kernel_shape as given: positive, one number per axis.
Status check_kernel(std::span<const int64_t> kernel, size_t spatial);

// Output extent of one axis; an error if the (padded) input is certainly smaller than the window.
Result<Dim> window_output(const WindowAxis& axis, std::string_view auto_pad, const Dim& in, const Dim& kernel,
                          bool ceil_mode, size_t index);
// Fills in the pads of SAME_* for a concrete input.
void resolve_pads(WindowAxis& axis, std::string_view auto_pad, int64_t in, int64_t kernel);

// "nchw" or "nhwc", else an error; and the rank must be 3 or more.
Status check_layout(std::string_view layout, const OpInfo& info, const Shape& x);
inline size_t channel_axis(std::string_view layout, size_t rank) { return layout == "nhwc" ? rank - 1 : 1; }
inline size_t spatial_axis(std::string_view layout, size_t i) { return layout == "nhwc" ? i + 1 : i + 2; }
// The layout after a permutation that moves channels last or back; none for any other permutation.
std::optional<std::string> permuted_layout(std::string_view layout, const std::vector<int64_t>& perm);

// The elements of x as [n, c, spatial...], whatever the layout, and back; `dims` are those of the nchw form.
struct Planes {
  Dims dims;
  std::vector<double> data;
  int64_t batch() const { return dims[0]; }
  int64_t channels() const { return dims[1]; }
  Dims spatial() const { return Dims(dims.begin() + 2, dims.end()); }
};
Result<Planes> load_planes(const TensorView& x, std::string_view layout);
Dims plane_dims(const Dims& dims, std::string_view layout);
void store_planes(TensorView& to, const Planes& planes, std::string_view layout);

}  // namespace carnot::ops
