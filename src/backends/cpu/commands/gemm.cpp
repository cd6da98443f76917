// SPDX-License-Identifier: Apache-2.0
// cpu.gemm: y[..., n] = activation(x[..., k] * packed + bias + residual). Operands: x, packed weights (f32[packed_size]), bias?, residual?.
#include "backends/cpu/kernels/gemm/gemm.hpp"

#include "backends/cpu/commands/support.hpp"
#include "backends/cpu/kernels/gemm/pack.hpp"

namespace carnot::cpu {
namespace {

class GemmKernel final : public Kernel {
 public:
  GemmKernel(int64_t k, int64_t n, EpilogueParams epilogue) : k_(k), n_(n), epilogue_(epilogue) {}
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.gemm", inputs, outputs, 2, 4); }
  Status run(const KernelArgs& args) const override {
    const TensorView &x = args.in[0], &w = args.in[1];
    TensorView& y = args.out[0];
    CARNOT_RETURN_IF_ERROR(expect_f32(x, "input 0"));
    CARNOT_RETURN_IF_ERROR(expect_f32(w, "the weights"));
    CARNOT_RETURN_IF_ERROR(expect_f32(y, "the result"));
    if (x.rank() == 0 || y.rank() == 0 || x.dims.back() != k_ || y.dims.back() != n_ || (n_ > 0 && k_ > 0 && x.size() / k_ != y.size() / n_))
      return invalid("shapes {} and {} do not fit weights of {} x {}", to_string(x.dims), to_string(y.dims), k_, n_);
    if (w.size() != packed_size(k_, n_)) return fail(Code::kDataCorrupt, "the weights have {} elements instead of {}", w.size(), packed_size(k_, n_));
    CARNOT_ASSIGN(const Epilogue epilogue, epilogue_.bind(args, 2, n_));
    run_gemm({.m = n_ > 0 ? y.size() / n_ : 0, .n = n_, .k = k_, .a = x.as<float>(), .lda = k_, .b = w.as<float>(), .c = y.as<float>(), .ldc = n_, .epilogue = epilogue}, *args.pool);
    return {};
  }

 private:
  int64_t k_, n_;
  EpilogueParams epilogue_;
};

Result<std::unique_ptr<Kernel>> make_gemm(const Attrs& params) {
  const int64_t k = attr_or<int64_t>(params, "k", -1), n = attr_or<int64_t>(params, "n", -1);
  if (k < 0 || n < 0 || k > (int64_t{1} << 31) || n > (int64_t{1} << 31)) return fail(Code::kDataCorrupt, "k = {} and n = {} are no sizes", k, n);
  CARNOT_ASSIGN(EpilogueParams epilogue, EpilogueParams::parse(params));
  return std::unique_ptr<Kernel>(std::make_unique<GemmKernel>(k, n, epilogue));
}

}  // namespace

CARNOT_CPU_COMMANDS(gemm, {"cpu.gemm", make_gemm})

}  // namespace carnot::cpu
