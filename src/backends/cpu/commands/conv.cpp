// SPDX-License-Identifier: Apache-2.0
// cpu.conv and cpu.conv_transpose: channels-last convolutions with an epilogue. Operands: x [n, spatial..., c], packed weights, bias?,
// residual?; x, y and residual of one float type, the weights likewise or f32, the bias f32 (transposed: all f32). Parameters: out_channels, groups, kernel, strides, dilations, pads (before each axis); blocking (see support.hpp) and way (points, bands, winograd2
// or winograd4, kernels/conv/conv.hpp) where the kernel should not choose itself.
#include "backends/cpu/kernels/conv/conv.hpp"

#include <algorithm>

#include "backends/cpu/commands/support.hpp"

namespace carnot::cpu {
namespace {

class ConvKernel final : public Kernel {
 public:
  ConvKernel(Conv conv, size_t spatial, bool transposed, EpilogueParams epilogue) : conv_(conv), spatial_(spatial), transposed_(transposed), epilogue_(epilogue) {}
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.conv", inputs, outputs, 2, 4); }
  bool takes_pitch(bool result, size_t i) const override { return result || i == 0 || i == 3; }

  size_t workspace(std::span<const TensorView> in, std::span<const TensorView> out, int threads) const override {
    auto conv = bind(in, out);
    if (!conv) return 0;
    return transposed_ ? conv_transpose_workspace(*conv, threads) : conv_workspace(*conv, threads);
  }

  Status run(const KernelArgs& args) const override {
    CARNOT_ASSIGN(Conv conv, bind(args.in, args.out));
    CARNOT_ASSIGN(conv.epilogue, epilogue_.bind(args, 2, conv.out_channels));
    conv.half_residual = EpilogueParams::half_residual(args, 2);
    if (transposed_)
      run_conv_transpose(conv, args.workspace, *args.pool);
    else
      run_conv(conv, args.workspace, *args.pool);
    return {};
  }

 private:
  Result<Conv> bind(std::span<const TensorView> in, std::span<const TensorView> out) const {
    const TensorView &x = in[0], &w = in[1], &y = out[0];
    CARNOT_RETURN_IF_ERROR(expect_same_float(x, y));
    CARNOT_RETURN_IF_ERROR(transposed_ ? expect_f32(x, "the operand") : Status());
    CARNOT_RETURN_IF_ERROR(expect_weights(w, x.dtype));
    if (x.rank() != spatial_ + 2 || y.rank() != x.rank() || x.dims[0] != y.dims[0] || x.dims.back() != conv_.in_channels || y.dims.back() != conv_.out_channels)
      return invalid("shapes {} and {} do not fit a convolution from {} to {} channels", to_string(x.dims), to_string(y.dims), conv_.in_channels, conv_.out_channels);
    if (conv_takes_winograd(conv_) && x.dtype != DType::kF32) return fail(Code::kDataCorrupt, "a Winograd convolution of {}", dtype_name(x.dtype));
    Conv c = conv_;
    c.batch = x.dims[0];
    for (size_t i = 0; i < spatial_; ++i) {
      const size_t slot = 3 - spatial_ + i;
      c.in[slot] = x.dims[1 + i];
      c.out[slot] = y.dims[1 + i];
    }
    const int64_t wanted = transposed_ ? packed_transpose_weights_size(c) : packed_weights_size(c);
    if (w.size() != wanted) return fail(Code::kDataCorrupt, "the weights have {} elements instead of {}", w.size(), wanted);
    if (w.dtype != DType::kF32 && !conv_takes_half_weights(c)) return fail(Code::kDataCorrupt, "weights of {} for a depthwise convolution", dtype_name(w.dtype));
    c.ldx = x.row_pitch();
    c.w_type = w.dtype;
    c.w = w.data;
    if (is_half(x.dtype)) {
      c.half = x.dtype;
      c.half_x = x.as<uint16_t>();
      c.half_y = static_cast<uint16_t*>(y.data);
    } else {
      c.x = x.as<float>();
      c.y = static_cast<float*>(y.data);
    }
    c.ldy = y.row_pitch();
    return c;
  }

  Conv conv_;
  size_t spatial_;
  bool transposed_;
  EpilogueParams epilogue_;
};

template <bool kTransposed>
Result<std::unique_ptr<Kernel>> make_conv(const Attrs& params) {
  constexpr int64_t kMost = int64_t{1} << 24;
  Conv c;
  c.in_channels = attr_or<int64_t>(params, "in_channels", 0);
  c.out_channels = attr_or<int64_t>(params, "out_channels", 0);
  c.groups = attr_or<int64_t>(params, "groups", 1);
  const auto kernel = attr_or<std::vector<int64_t>>(params, "kernel", {});
  const size_t spatial = kernel.size();
  if (spatial < 1 || spatial > 3) return fail(Code::kDataCorrupt, "{} spatial axes", spatial);
  if (c.in_channels < 1 || c.out_channels < 1 || c.in_channels > kMost || c.out_channels > kMost || c.groups < 1 || c.in_channels % c.groups || c.out_channels % c.groups)
    return fail(Code::kDataCorrupt, "{} to {} channels in {} groups", c.in_channels, c.out_channels, c.groups);
  auto axis = [&](const char* name, int64_t (&to)[3], int64_t least) -> Status {
    const auto values = attr_or<std::vector<int64_t>>(params, name, {});
    if (values.size() != spatial) return fail(Code::kDataCorrupt, "parameter '{}' has {} entries for {} axes", name, values.size(), spatial);
    for (size_t i = 0; i < spatial; ++i) {
      if (values[i] < least || values[i] > kMost) return fail(Code::kDataCorrupt, "parameter '{}' has {}", name, values[i]);
      to[3 - spatial + i] = values[i];
    }
    return {};
  };
  CARNOT_RETURN_IF_ERROR(axis("kernel", c.kernel, 1));
  CARNOT_RETURN_IF_ERROR(axis("strides", c.stride, 1));
  CARNOT_RETURN_IF_ERROR(axis("dilations", c.dilation, 1));
  CARNOT_RETURN_IF_ERROR(axis("pads", c.pad, 0));
  CARNOT_ASSIGN(c.blocking, parse_blocking(params));
  const auto way = attr_or<std::string>(params, "way", "auto");
  static constexpr std::pair<std::string_view, Conv::Way> kWays[] = {
      {"auto", Conv::Way::kAuto}, {"points", Conv::Way::kPoints}, {"bands", Conv::Way::kBands}, {"winograd2", Conv::Way::kWinograd2}, {"winograd4", Conv::Way::kWinograd4}};
  const auto known = std::find_if(std::begin(kWays), std::end(kWays), [&](const auto& row) { return row.first == way; });
  if (known == std::end(kWays)) return fail(Code::kDataCorrupt, "parameter 'way' is '{}'", way);
  c.way = known->second;
  if (way.starts_with("winograd") && (kTransposed || spatial != 2 || !conv_takes_winograd(c))) return fail(Code::kDataCorrupt, "way '{}' for a convolution that it does not fit", way);
  CARNOT_ASSIGN(EpilogueParams epilogue, EpilogueParams::parse(params));
  return std::unique_ptr<Kernel>(std::make_unique<ConvKernel>(c, spatial, kTransposed, epilogue));
}

}  // namespace

CARNOT_CPU_COMMANDS(conv, {"cpu.conv", make_conv<false>}, {"cpu.conv_transpose", make_conv<true>})

}  // namespace carnot::cpu
