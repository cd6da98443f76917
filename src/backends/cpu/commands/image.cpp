// SPDX-License-Identifier: Apache-2.0
// cpu.pool (kind, kernel, strides, dilations, pads, count_include_pad), cpu.global_pool (kind) and cpu.resize: channels-last f32.
#include "backends/cpu/commands/support.hpp"
#include "backends/cpu/kernels/pool/pool.hpp"
#include "backends/cpu/kernels/resize/resize.hpp"

namespace carnot::cpu {
namespace {

Status image_f32(const KernelArgs& args, size_t rank) {
  const TensorView &x = args.in[0], &y = args.out[0];
  CARNOT_RETURN_IF_ERROR(expect_f32(x, "input 0"));
  CARNOT_RETURN_IF_ERROR(expect_f32(y, "the result"));
  if (x.rank() != rank || y.rank() != rank || x.dims[0] != y.dims[0] || x.dims.back() != y.dims.back())
    return invalid("shapes {} and {} do not fit", to_string(x.dims), to_string(y.dims));
  return {};
}

class PoolKernel final : public Kernel {
 public:
  PoolKernel(Pool pool, size_t spatial) : pool_(pool), spatial_(spatial) {}
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.pool", inputs, outputs, 1, 1); }
  bool takes_pitch(bool, size_t) const override { return true; }
  Status run(const KernelArgs& args) const override {
    CARNOT_RETURN_IF_ERROR(image_f32(args, spatial_ + 2));
    Pool p = pool_;
    p.batch = args.in[0].dims[0];
    p.channels = args.in[0].dims.back();
    for (size_t i = 0; i < spatial_; ++i) {
      p.in_size[3 - spatial_ + i] = args.in[0].dims[1 + i];
      p.out_size[3 - spatial_ + i] = args.out[0].dims[1 + i];
    }
    p.in = args.in[0].as<float>();
    p.out = args.out[0].as<float>();
    p.ld_in = args.in[0].row_pitch();
    p.ld_out = args.out[0].row_pitch();
    return run_pool(p, *args.pool);
  }

 private:
  Pool pool_;
  size_t spatial_;
};

class GlobalPoolKernel final : public Kernel {
 public:
  explicit GlobalPoolKernel(PoolKind kind) : kind_(kind) {}
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.global_pool", inputs, outputs, 1, 1); }
  bool takes_pitch(bool result, size_t) const override { return !result; }
  Status run(const KernelArgs& args) const override {
    const TensorView& x = args.in[0];
    CARNOT_RETURN_IF_ERROR(image_f32(args, x.rank()));
    GlobalPool p;
    p.kind = kind_;
    p.batch = x.dims[0];
    p.channels = x.dims.back();
    if (args.out[0].size() != p.batch * p.channels) return fail(Code::kDataCorrupt, "the result does not fit");
    p.pixels = 1;
    for (size_t i = 1; i + 1 < x.rank(); ++i) p.pixels *= x.dims[i];
    p.in = x.as<float>();
    p.out = args.out[0].as<float>();
    p.ld_in = x.row_pitch();
    p.ld_out = p.channels;
    run_global_pool(p, *args.pool);
    return {};
  }

 private:
  PoolKind kind_;
};

class ResizeKernel final : public Kernel {
 public:
  ResizeKernel(ResizeRule rule, double rows, double cols) : rule_(rule), scale_{rows, cols} {}
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.resize", inputs, outputs, 1, 1); }
  bool takes_pitch(bool, size_t) const override { return true; }
  size_t workspace(std::span<const TensorView> in, std::span<const TensorView> out, int) const override {
    if (in[0].rank() != 4 || out[0].rank() != 4) return 0;
    return bytes(in[0].dims, out[0].dims, 0) + bytes(in[0].dims, out[0].dims, 1);
  }
  Status run(const KernelArgs& args) const override {
    CARNOT_RETURN_IF_ERROR(image_f32(args, 4));
    const Dims &x = args.in[0].dims, &y = args.out[0].dims;
    if (args.out[0].size() == 0) return {};
    if (args.in[0].size() == 0) return invalid("an empty image of shape {} cannot be resized", to_string(x));
    Resize r;
    r.batch = x[0];
    r.channels = x[3];
    r.rows = make_resize_axis(rule_, x[1], y[1], scale(x, y, 0), args.workspace);
    r.cols = make_resize_axis(rule_, x[2], y[2], scale(x, y, 1), static_cast<char*>(args.workspace) + bytes(x, y, 0));
    r.in = args.in[0].as<float>();
    r.out = args.out[0].as<float>();
    r.ld_in = args.in[0].row_pitch();
    r.ld_out = args.out[0].row_pitch();
    return run_resize(r, *args.pool);
  }

 private:
  // 0: sizes were given, so the scale is their ratio.
  double scale(const Dims& x, const Dims& y, size_t i) const {
    return scale_[i] > 0 ? scale_[i] : static_cast<double>(y[1 + i]) / static_cast<double>(x[1 + i]);
  }
  size_t bytes(const Dims& x, const Dims& y, size_t i) const {
    if (x[1 + i] <= 0 || y[1 + i] <= 0) return 0;
    return (resize_axis_bytes(rule_, x[1 + i], y[1 + i], scale(x, y, i)) + 63) / 64 * 64;
  }
  ResizeRule rule_;
  double scale_[2];
};

Result<std::unique_ptr<Kernel>> make_pool(const Attrs& params) {
  Pool p;
  p.kind = attr_or<std::string>(params, "kind", "max") == "max" ? PoolKind::kMax : PoolKind::kAverage;
  p.count_include_pad = attr_or<int64_t>(params, "count_include_pad", 0) != 0;
  const auto kernel = attr_or<std::vector<int64_t>>(params, "kernel", {});
  const size_t n = kernel.size();
  if (n < 1 || n > 3) return fail(Code::kDataCorrupt, "{} spatial axes", n);
  auto read = [&](const char* name, size_t from, size_t count, int64_t (&to)[3], int64_t least) -> Status {
    const auto values = attr_or<std::vector<int64_t>>(params, name, {});
    if (values.size() != count) return fail(Code::kDataCorrupt, "parameter '{}' has {} entries", name, values.size());
    for (size_t i = 0; i < n; ++i) {
      const int64_t v = values[from + i];
      if (v < least || v > (int64_t{1} << 24)) return fail(Code::kDataCorrupt, "parameter '{}' has {}", name, v);
      to[3 - n + i] = v;
    }
    return {};
  };
  CARNOT_RETURN_IF_ERROR(read("kernel", 0, n, p.kernel, 1));
  CARNOT_RETURN_IF_ERROR(read("strides", 0, n, p.stride, 1));
  CARNOT_RETURN_IF_ERROR(read("dilations", 0, n, p.dilation, 1));
  CARNOT_RETURN_IF_ERROR(read("pads", 0, 2 * n, p.pad, 0));
  CARNOT_RETURN_IF_ERROR(read("pads", n, 2 * n, p.pad_end, 0));
  return std::unique_ptr<Kernel>(std::make_unique<PoolKernel>(p, n));
}

Result<std::unique_ptr<Kernel>> make_global_pool(const Attrs& params) {
  return std::unique_ptr<Kernel>(std::make_unique<GlobalPoolKernel>(attr_or<std::string>(params, "kind", "max") == "max" ? PoolKind::kMax : PoolKind::kAverage));
}

Result<std::unique_ptr<Kernel>> make_resize(const Attrs& p) {
  CARNOT_ASSIGN(ResizeRule rule, ResizeRule::parse(attr_or<std::string>(p, "mode", "nearest"), attr_or<std::string>(p, "coordinates", "half_pixel"),
                                                   attr_or<std::string>(p, "nearest_mode", "round_prefer_floor")));
  rule.cubic_a = static_cast<float>(attr_or<double>(p, "cubic_a", -0.75));
  rule.exclude_outside = attr_or<int64_t>(p, "exclude_outside", 0) != 0;
  rule.antialias = attr_or<int64_t>(p, "antialias", 0) != 0;
  return std::unique_ptr<Kernel>(std::make_unique<ResizeKernel>(rule, attr_or<double>(p, "scale_rows", 0.0), attr_or<double>(p, "scale_cols", 0.0)));
}

}  // namespace

CARNOT_CPU_COMMANDS(image, {"cpu.pool", make_pool}, {"cpu.global_pool", make_global_pool}, {"cpu.resize", make_resize})

}  // namespace carnot::cpu
