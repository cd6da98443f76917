// SPDX-License-Identifier: Apache-2.0
#include "ops/support_spatial.hpp"

#include <algorithm>

namespace carnot::ops {

namespace {
// Far beyond any real window, far below what could overflow a product of two.
constexpr int64_t kMaxExtent = int64_t{1} << 30;

Status check_list(std::string_view name, std::span<const int64_t> list, size_t count, int64_t least) {
  if (list.empty()) return {};
  if (list.size() != count) return invalid("attribute '{}' has {} numbers, {} are needed", name, list.size(), count);
  for (int64_t v : list)
    if (v < least || v > kMaxExtent)
      return invalid("attribute '{}' holds {}, outside [{}, {}]", name, v, least, kMaxExtent);
  return {};
}
}  // namespace

Result<std::vector<WindowAxis>> window_axes(const WindowAttrs& attrs, size_t spatial) {
  const bool explicit_pads = attrs.auto_pad.empty() || attrs.auto_pad == "NOTSET";
  if (!explicit_pads && attrs.auto_pad != "SAME_UPPER" && attrs.auto_pad != "SAME_LOWER" && attrs.auto_pad != "VALID")
    return invalid("attribute 'auto_pad' is \"{}\"; it must be NOTSET, SAME_UPPER, SAME_LOWER or VALID",
                   attrs.auto_pad);
  CARNOT_RETURN_IF_ERROR(check_list("strides", attrs.strides, spatial, 1));
  CARNOT_RETURN_IF_ERROR(check_list("dilations", attrs.dilations, spatial, 1));
  CARNOT_RETURN_IF_ERROR(check_list("pads", attrs.pads, 2 * spatial, 0));
  std::vector<WindowAxis> out(spatial);
  for (size_t i = 0; i < spatial; ++i) {
    if (!attrs.strides.empty()) out[i].stride = attrs.strides[i];
    if (!attrs.dilations.empty()) out[i].dilation = attrs.dilations[i];
    if (explicit_pads && !attrs.pads.empty()) {
      out[i].pad_begin = attrs.pads[i];
      out[i].pad_end = attrs.pads[spatial + i];
    }
  }
  return out;
}

Status check_kernel(std::span<const int64_t> kernel, size_t spatial) {
  if (kernel.size() != spatial)
    return invalid("attribute 'kernel_shape' has {} numbers, but the input has {} spatial axes", kernel.size(),
                   spatial);
  return check_list("kernel_shape", kernel, spatial, 1);
}

Result<Dim> window_output(const WindowAxis& axis, std::string_view auto_pad, const Dim& in, const Dim& kernel,
                          bool ceil_mode, size_t index) {
  if (auto_pad.starts_with("SAME")) return Dim::ceildiv(in, axis.stride);
  const Dim window = (kernel - 1) * axis.dilation + 1;
  const Dim padded = in + (axis.pad_begin + axis.pad_end);
  const Dim room = padded - window;
  if (room.is_constant() && room.value() < 0)
    return invalid("spatial axis {}: the window spans {} elements, but the input has {} with padding", index,
                   window.str(), padded.str());
  if (!ceil_mode) return Dim::floordiv(room, axis.stride) + 1;
  // A last window that would start in the padding behind the input is left out.
  return Dim::min(Dim::ceildiv(room, axis.stride), Dim::floordiv(in + axis.pad_begin - 1, axis.stride)) + 1;
}

void resolve_pads(WindowAxis& axis, std::string_view auto_pad, int64_t in, int64_t kernel) {
  if (!auto_pad.starts_with("SAME")) return;
  const int64_t out = (in + axis.stride - 1) / axis.stride;
  const int64_t total = std::max<int64_t>(0, (out - 1) * axis.stride + (kernel - 1) * axis.dilation + 1 - in);
  axis.pad_begin = auto_pad == "SAME_LOWER" ? total - total / 2 : total / 2;
  axis.pad_end = total - axis.pad_begin;
}

Status check_layout(std::string_view layout, const OpInfo& info, const Shape& x) {
  if (layout != "nchw" && layout != "nhwc")
    return invalid("attribute 'layout' is \"{}\"; it must be \"nchw\" or \"nhwc\"", layout);
  if (x.size() < 3)
    return invalid("{} must have rank 3 or more (batch, channels, at least one spatial axis), got shape {}",
                   operand(info, 0), to_string(x));
  return {};
}

std::optional<std::string> permuted_layout(std::string_view layout, const std::vector<int64_t>& perm) {
  const size_t rank = perm.size();
  if (rank < 3) return std::nullopt;
  std::vector<int64_t> last{0}, first{0, static_cast<int64_t>(rank) - 1};
  for (size_t i = 2; i < rank; ++i) last.push_back(static_cast<int64_t>(i));
  last.push_back(1);
  for (size_t i = 1; i + 1 < rank; ++i) first.push_back(static_cast<int64_t>(i));
  if (layout == "nchw" && perm == last) return "nhwc";
  if (layout == "nhwc" && perm == first) return "nchw";
  return std::nullopt;
}

Dims plane_dims(const Dims& dims, std::string_view layout) {
  Dims out = dims;
  if (layout == "nhwc") std::rotate(out.begin() + 1, out.end() - 1, out.end());
  return out;
}

Result<Planes> load_planes(const TensorView& x, std::string_view layout) {
  CARNOT_ASSIGN(std::vector<double> data, to_doubles(x));
  Planes p{plane_dims(x.dims, layout), {}};
  if (layout != "nhwc") {
    p.data = std::move(data);
    return p;
  }
  const int64_t n = p.batch(), c = p.channels(), area = size_of(p.spatial());
  p.data.resize(data.size());
  for (int64_t b = 0; b < n; ++b)
    for (int64_t i = 0; i < area; ++i)
      for (int64_t k = 0; k < c; ++k)
        p.data[static_cast<size_t>((b * c + k) * area + i)] = data[static_cast<size_t>((b * area + i) * c + k)];
  return p;
}

void store_planes(TensorView& to, const Planes& planes, std::string_view layout) {
  if (layout != "nhwc") return store(to, planes.data);
  const int64_t n = planes.batch(), c = planes.channels(), area = size_of(planes.spatial());
  std::vector<double> data(planes.data.size());
  for (int64_t b = 0; b < n; ++b)
    for (int64_t i = 0; i < area; ++i)
      for (int64_t k = 0; k < c; ++k)
        data[static_cast<size_t>((b * area + i) * c + k)] = planes.data[static_cast<size_t>((b * c + k) * area + i)];
  store(to, data);
}

}  // namespace carnot::ops
