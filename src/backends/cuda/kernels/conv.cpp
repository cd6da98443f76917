// SPDX-License-Identifier: Apache-2.0
// cuda.conv, cuda.conv_transpose: channels-last convolutions with an epilogue. Operands: x [n, spatial..., c], weights [out][kernel...][in / groups]
// (transposed: [in][kernel...][out / groups]), bias? [out], residual? (y's shape). Parameters: groups, kernel, strides, dilations, pads (before
// all axes, then behind), tf32, choice, and those of the epilogue. Where shapes are known at build, x_dims, w_dims, y_dims, dtype, has_bias and
// has_residual tell them, so that plans are made while the engine is loaded.
#include "backends/cuda/kernels/library_kernels.hpp"
#include "backends/cuda/kernels/convolution.hpp"
#include "backends/cuda/kernels/plan_cache.hpp"
#include "backends/cuda/kernels/shape_cache.hpp"
#include "device/device.hpp"

namespace carnot::cuda {
namespace {

using device::Kernel;
using device::KernelArgs;

class ConvKernel final : public Kernel {
 public:
  ConvKernel(const Convolution& convolution, size_t spatial) : convolution_(convolution), spatial_(spatial) {}

  // Starts making the plan for shapes that the parameters tell.
  void foresee(const Attrs& params) {
    const auto dims = [&](const char* name) { return attr_or<std::vector<int64_t>>(params, name, {}); };
    const DType type = attr_or(params, "dtype", DType::kInvalid);
    const Dims x = dims("x_dims"), w = dims("w_dims"), y = dims("y_dims");
    if (type == DType::kInvalid || x.empty() || size_of(y) <= 0) return;
    const TensorView absent;
    const TensorView in[4] = {{type, x}, {type, w}, attr_or<int64_t>(params, "has_bias", 0) ? TensorView{type, {y.back()}} : absent,
                              attr_or<int64_t>(params, "has_residual", 0) ? TensorView{type, y} : absent};
    const TensorView out[1] = {{type, y}};
    auto c = bind(in, out);
    if (!c) return;
    foreseen_ = in_background([this, c = *c] {
      if (auto plan = ConvolutionPlan::get(c)) early_ = *plan;
    });
  }

  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cuda.conv", inputs, outputs, 2, 4); }

  size_t workspace(std::span<const TensorView> in, std::span<const TensorView> out, int) const override {
    auto plan = prepare(in, out, 16);
    return plan && *plan ? aligned_size((*plan)->workspace()) : 0;
  }

  Status run(const KernelArgs& args) const override {
    if (args.out[0].size() == 0) return {};
    CARNOT_ASSIGN(const auto plan, prepare(args.in, args.out, alignment_of(args.in, args.out)));
    auto data = [&](size_t i) { return i < args.in.size() && args.in[i].dtype != DType::kInvalid ? args.in[i].data : nullptr; };
    return plan->run(static_cast<CUstream>(args.stream->native()), {data(0), data(1), data(2), data(3), args.out[0].data}, args.workspace);
  }

 private:
  Result<std::shared_ptr<ConvolutionPlan>> prepare(std::span<const TensorView> in, std::span<const TensorView> out, int alignment) const {
    if (out[0].size() == 0) return std::shared_ptr<ConvolutionPlan>();
    return cache_.get(in, out, alignment, [&]() -> Result<std::shared_ptr<ConvolutionPlan>> {
      CARNOT_ASSIGN(Convolution c, bind(in, out));
      c.alignment = alignment;
      return ConvolutionPlan::get(c);
    });
  }

  Result<Convolution> bind(std::span<const TensorView> in, std::span<const TensorView> out) const {
    const TensorView &x = in[0], &w = in[1], &y = out[0];
    Convolution c = convolution_;
    if (x.dtype != w.dtype || x.dtype != y.dtype) return invalid("operands of {}, {} and {}", dtype_name(x.dtype), dtype_name(w.dtype), dtype_name(y.dtype));
    if (x.rank() != spatial_ + 2 || w.rank() != x.rank() || y.rank() != x.rank() || x.dims[0] != y.dims[0])
      return invalid("shapes {}, {} and {} do not fit", to_string(x.dims), to_string(w.dims), to_string(y.dims));
    c.type = x.dtype;
    c.batch = x.dims[0];
    c.in_channels = x.dims.back();
    c.out_channels = y.dims.back();
    if (c.in_channels < 1 || c.in_channels % c.groups || c.out_channels % c.groups) return invalid("{} to {} channels in {} groups", c.in_channels, c.out_channels, c.groups);
    c.weight_channels = c.transposed ? c.in_channels / c.groups : w.dims.back();
    const bool padded = !c.transposed && c.groups == 1 && c.weight_channels > c.in_channels;
    if (c.transposed ? w.dims[0] != c.in_channels || w.dims.back() != c.out_channels / c.groups
                     : w.dims[0] != c.out_channels || (c.weight_channels * c.groups != c.in_channels && !padded))
      return invalid("weights {} do not fit {} to {} channels in {} groups", to_string(w.dims), c.in_channels, c.out_channels, c.groups);
    for (size_t i = 0; i < spatial_; ++i) {
      const size_t slot = 3 - spatial_ + i;
      c.in[slot] = x.dims[1 + i];
      c.out[slot] = y.dims[1 + i];
      // The larger side of the relation between both must lie within the padding that the command tells.
      const int64_t small = c.transposed ? c.in[slot] : c.out[slot], large = c.transposed ? c.out[slot] : c.in[slot];
      const int64_t extent = (c.kernel[slot] - 1) * c.dilation[slot] + 1;
      if (w.dims[1 + i] != c.kernel[slot] || large < 1 || large > kMost || (small - 1) * c.stride[slot] + extent > large + c.before[slot] + c.after[slot] + (c.transposed ? c.stride[slot] : 0))
        return invalid("shapes {}, {} and {} do not fit the strides and pads", to_string(x.dims), to_string(w.dims), to_string(y.dims));
    }
    for (size_t i = 2; i < in.size(); ++i) {
      if (in[i].dtype == DType::kInvalid) continue;
      if (in[i].dtype != y.dtype || (i == 2 ? in[i].size() != c.out_channels : in[i].dims != y.dims))
        return invalid("{} {}{} does not fit a result {}{}", i == 2 ? "bias" : "residual", dtype_name(in[i].dtype), to_string(in[i].dims), dtype_name(y.dtype), to_string(y.dims));
      (i == 2 ? c.bias : c.residual) = true;
    }
    return c;
  }

  static constexpr int64_t kMost = int64_t{1} << 28;
  Convolution convolution_;
  size_t spatial_;
  ShapeCache<ConvolutionPlan> cache_;
  std::shared_ptr<ConvolutionPlan> early_;  // keeps the foreseen plan; written by the background
  std::future<void> foreseen_;              // last: waits for the background before the rest goes
};

Result<std::unique_ptr<Kernel>> make(const Attrs& params, bool transposed) {
  constexpr int64_t kMost = int64_t{1} << 24;
  Convolution c;
  c.transposed = transposed;
  c.groups = attr_or<int64_t>(params, "groups", 1);
  c.tf32 = attr_or<int64_t>(params, "tf32", 0) != 0;
  c.choice = attr_or<int64_t>(params, "choice", -1);
  CARNOT_ASSIGN(const Epilogue epilogue, read_epilogue(params));
  c.activation = epilogue.activation, c.alpha = epilogue.alpha, c.beta = epilogue.beta, c.residual_after = epilogue.residual_after;
  const size_t spatial = attr_or<std::vector<int64_t>>(params, "kernel", {}).size();
  if (spatial < 1 || spatial > 3) return fail(Code::kDataCorrupt, "{} spatial axes", spatial);
  if (c.groups < 1 || c.groups > kMost) return fail(Code::kDataCorrupt, "{} groups", c.groups);
  c.volume = spatial == 3;
  auto axes = [&](const char* name, int64_t (&to)[3], int64_t (*behind)[3], int64_t least) -> Status {
    const auto values = attr_or<std::vector<int64_t>>(params, name, {});
    if (values.size() != spatial * (behind ? 2 : 1)) return fail(Code::kDataCorrupt, "parameter '{}' has {} entries for {} axes", name, values.size(), spatial);
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i] < least || values[i] > kMost) return fail(Code::kDataCorrupt, "parameter '{}' has {}", name, values[i]);
      (i < spatial ? to : *behind)[3 - spatial + i % spatial] = values[i];
    }
    return {};
  };
  CARNOT_RETURN_IF_ERROR(axes("kernel", c.kernel, nullptr, 1));
  CARNOT_RETURN_IF_ERROR(axes("strides", c.stride, nullptr, 1));
  CARNOT_RETURN_IF_ERROR(axes("dilations", c.dilation, nullptr, 1));
  CARNOT_RETURN_IF_ERROR(axes("pads", c.before, &c.after, 0));
  auto kernel = std::make_unique<ConvKernel>(c, spatial);
  kernel->foresee(params);
  return std::unique_ptr<Kernel>(std::move(kernel));
}

}  // namespace

Result<std::unique_ptr<Kernel>> make_conv(const Attrs& params) { return make(params, false); }
Result<std::unique_ptr<Kernel>> make_conv_transpose(const Attrs& params) { return make(params, true); }

}  // namespace carnot::cuda
