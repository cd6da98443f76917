// SPDX-License-Identifier: Apache-2.0
// cpu.softmax (params axis, log), cpu.l2_norm (axis, epsilon), cpu.layer_norm (axis, epsilon, rms; operands x, scale?, bias?), cpu.reduce (kind, axes): over f32.
#include "backends/cpu/commands/support.hpp"
#include "backends/cpu/kernels/norm/norm.hpp"
#include "backends/cpu/kernels/reduce/reduce.hpp"
#include "backends/cpu/kernels/softmax/softmax.hpp"

namespace carnot::cpu {
namespace {

struct Split3 {
  int64_t outer = 1, axis = 1, inner = 1;
};

Result<Split3> split_at(const Dims& dims, int64_t axis) {
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, dims.size()));
  Split3 s;
  for (size_t i = 0; i < dims.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    (at < a ? s.outer : at == a ? s.axis : s.inner) *= dims[i];
  }
  return s;
}

Status same_f32(const KernelArgs& args) {
  CARNOT_RETURN_IF_ERROR(expect_f32(args.in[0], "input 0"));
  CARNOT_RETURN_IF_ERROR(expect_f32(args.out[0], "the result"));
  if (args.in[0].dims != args.out[0].dims) return fail(Code::kDataCorrupt, "shapes {} and {} differ", to_string(args.in[0].dims), to_string(args.out[0].dims));
  return {};
}

class SoftmaxKernel final : public Kernel {
 public:
  SoftmaxKernel(int64_t axis, bool log) : axis_(axis), log_(log) {}
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.softmax", inputs, outputs, 1, 1); }
  Status run(const KernelArgs& args) const override {
    CARNOT_RETURN_IF_ERROR(same_f32(args));
    CARNOT_ASSIGN(const Split3 s, split_at(args.in[0].dims, axis_));
    const float* in = args.in[0].as<float>();
    float* out = args.out[0].as<float>();
    if (s.inner == 1) {
      Softmax p;
      p.rows = s.outer;
      p.cols = s.axis;
      p.in = in;
      p.out = out;
      p.ld_in = p.ld_out = s.axis;
      p.log = log_;
      run_softmax(p, *args.pool);
    } else {
      run_softmax_axis(in, out, s.outer, s.axis, s.inner, log_, *args.pool);
    }
    return {};
  }

 private:
  int64_t axis_;
  bool log_;
};

class NormKernel final : public Kernel {
 public:
  NormKernel(int64_t axis, double epsilon, bool rms) : axis_(axis), epsilon_(static_cast<float>(epsilon)), rms_(rms) {}
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.layer_norm", inputs, outputs, 1, 3); }
  Status run(const KernelArgs& args) const override {
    CARNOT_RETURN_IF_ERROR(same_f32(args));
    CARNOT_ASSIGN(const Split3 s, split_at(args.in[0].dims, axis_));
    RowNorm n;
    n.rows = s.outer;
    n.cols = s.axis * s.inner;
    n.in = args.in[0].as<float>();
    n.out = args.out[0].as<float>();
    n.ld_in = n.ld_out = n.cols;
    n.epsilon = epsilon_;
    n.rms = rms_;
    for (size_t i = 1; i <= 2; ++i) {
      if (!present(args, i)) continue;
      CARNOT_RETURN_IF_ERROR(expect_f32(args.in[i], "scale or bias"));
      if (args.in[i].size() != n.cols) return fail(Code::kDataCorrupt, "scale or bias has {} elements for rows of {}", args.in[i].size(), n.cols);
      (i == 1 ? n.scale : n.bias) = args.in[i].as<float>();
    }
    run_row_norm(n, *args.pool);
    return {};
  }

 private:
  int64_t axis_;
  float epsilon_;
  bool rms_;
};

class L2NormKernel final : public Kernel {
 public:
  L2NormKernel(int64_t axis, float epsilon) : axis_(axis), epsilon_(epsilon) {}
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.l2_norm", inputs, outputs, 1, 1); }
  Status run(const KernelArgs& args) const override {
    CARNOT_RETURN_IF_ERROR(same_f32(args));
    CARNOT_ASSIGN(const Split3 s, split_at(args.in[0].dims, axis_));
    run_l2_norm(args.in[0].as<float>(), args.out[0].as<float>(), s.outer, s.axis, s.inner, epsilon_, *args.pool);
    return {};
  }

 private:
  int64_t axis_;
  float epsilon_;
};

class ReduceKernel final : public Kernel {
 public:
  ReduceKernel(Reduction kind, std::vector<int64_t> axes) : kind_(kind), axes_(std::move(axes)) {}
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.reduce", inputs, outputs, 1, 1); }
  Status run(const KernelArgs& args) const override {
    const TensorView& x = args.in[0];
    CARNOT_RETURN_IF_ERROR(expect_f32(x, "input 0"));
    CARNOT_RETURN_IF_ERROR(expect_f32(args.out[0], "the result"));
    int64_t kept = 1;
    std::array<bool, 64> reduced{};
    if (x.rank() > reduced.size()) return invalid("rank {}", x.rank());
    for (int64_t a : axes_) {
      if (a < 0 || a >= static_cast<int64_t>(x.rank()) || reduced[static_cast<size_t>(a)]) return fail(Code::kDataCorrupt, "axis {} of rank {}", a, x.rank());
      reduced[static_cast<size_t>(a)] = true;
    }
    for (size_t i = 0; i < x.rank(); ++i) kept *= reduced[i] ? 1 : x.dims[i];
    if (kept != args.out[0].size()) return fail(Code::kDataCorrupt, "the result has {} elements instead of {}", args.out[0].size(), kept);
    return run_reduce(kind_, x.as<float>(), args.out[0].as<float>(), x.dims, axes_, *args.pool);
  }

 private:
  Reduction kind_;
  std::vector<int64_t> axes_;
};

Result<std::unique_ptr<Kernel>> make_softmax(const Attrs& p) {
  return std::unique_ptr<Kernel>(std::make_unique<SoftmaxKernel>(attr_or<int64_t>(p, "axis", -1), attr_or<int64_t>(p, "log", 0) != 0));
}
Result<std::unique_ptr<Kernel>> make_norm(const Attrs& p) {
  return std::unique_ptr<Kernel>(
      std::make_unique<NormKernel>(attr_or<int64_t>(p, "axis", -1), attr_or<double>(p, "epsilon", 1e-5), attr_or<int64_t>(p, "rms", 0) != 0));
}
Result<std::unique_ptr<Kernel>> make_l2_norm(const Attrs& p) {
  return std::unique_ptr<Kernel>(std::make_unique<L2NormKernel>(attr_or<int64_t>(p, "axis", -1), static_cast<float>(attr_or<double>(p, "epsilon", 0.0))));
}
Result<std::unique_ptr<Kernel>> make_reduce(const Attrs& p) {
  const std::string kind = attr_or<std::string>(p, "kind", "");
  const auto reduction = parse_reduction(kind);
  if (!reduction) return fail(Code::kDataCorrupt, "unknown reduction '{}'", kind);
  return std::unique_ptr<Kernel>(std::make_unique<ReduceKernel>(*reduction, attr_or<std::vector<int64_t>>(p, "axes", {})));
}

}  // namespace

CARNOT_CPU_COMMANDS(rows, {"cpu.softmax", make_softmax}, {"cpu.layer_norm", make_norm}, {"cpu.l2_norm", make_l2_norm}, {"cpu.reduce", make_reduce})

}  // namespace carnot::cpu
