// SPDX-License-Identifier: Apache-2.0
// cpu.gemm: y[..., n] = activation(x[..., k] * packed + bias + residual). Operands: x, packed weights ([packed_size]), bias?, residual?. x, y
// and residual are f32, f16 or bf16, the weights likewise or f32, the bias f32. Parameter blocking: see support.hpp.
#include "backends/cpu/kernels/gemm/gemm.hpp"

#include "backends/cpu/commands/support.hpp"
#include "backends/cpu/kernels/gemm/pack.hpp"

namespace carnot::cpu {
namespace {

class GemmKernel final : public Kernel {
 public:
  GemmKernel(int64_t k, int64_t n, Blocking blocking, EpilogueParams epilogue) : k_(k), n_(n), blocking_(blocking), epilogue_(epilogue) {}
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.gemm", inputs, outputs, 2, 4); }
  bool takes_pitch(bool result, size_t i) const override { return result || i == 0 || i == 3; }
  size_t workspace(std::span<const TensorView> in, std::span<const TensorView> out, int threads) const override {
    auto gemm = bind(in, out);
    return gemm ? gemm_workspace(*gemm, threads) : 0;
  }
  Status run(const KernelArgs& args) const override {
    CARNOT_ASSIGN(Gemm gemm, bind(args.in, args.out));
    CARNOT_ASSIGN(gemm.epilogue, epilogue_.bind(args, 2, n_));
    gemm.half_residual = EpilogueParams::half_residual(args, 2);
    gemm.workspace = args.workspace;
    run_gemm(gemm, *args.pool);
    return {};
  }

 private:
  Result<Gemm> bind(std::span<const TensorView> in, std::span<const TensorView> out) const {
    const TensorView &x = in[0], &w = in[1], &y = out[0];
    CARNOT_RETURN_IF_ERROR(expect_same_float(x, y));
    CARNOT_RETURN_IF_ERROR(expect_weights(w, x.dtype));
    if (x.rank() == 0 || y.rank() == 0 || x.dims.back() != k_ || y.dims.back() != n_ || (n_ > 0 && k_ > 0 && x.size() / k_ != y.size() / n_))
      return invalid("shapes {} and {} do not fit weights of {} x {}", to_string(x.dims), to_string(y.dims), k_, n_);
    if (w.size() != packed_size(k_, n_)) return fail(Code::kDataCorrupt, "the weights have {} elements instead of {}", w.size(), packed_size(k_, n_));
    Gemm gemm{.m = n_ > 0 ? y.size() / n_ : 0, .n = n_, .k = k_, .lda = x.row_pitch(), .b_type = w.dtype, .b = w.data, .ldc = y.row_pitch(), .blocking = blocking_};
    if (is_half(x.dtype)) {
      gemm.half = x.dtype;
      gemm.half_a = x.as<uint16_t>();
      gemm.half_c = static_cast<uint16_t*>(y.data);
    } else {
      gemm.a = x.as<float>();
      gemm.c = static_cast<float*>(y.data);
    }
    return gemm;
  }

  int64_t k_, n_;
  Blocking blocking_;
  EpilogueParams epilogue_;
};

Result<std::unique_ptr<Kernel>> make_gemm(const Attrs& params) {
  const int64_t k = attr_or<int64_t>(params, "k", -1), n = attr_or<int64_t>(params, "n", -1);
  if (k < 0 || n < 0 || k > (int64_t{1} << 31) || n > (int64_t{1} << 31)) return fail(Code::kDataCorrupt, "k = {} and n = {} are no sizes", k, n);
  CARNOT_ASSIGN(const Blocking blocking, parse_blocking(params));
  CARNOT_ASSIGN(EpilogueParams epilogue, EpilogueParams::parse(params));
  return std::unique_ptr<Kernel>(std::make_unique<GemmKernel>(k, n, blocking, epilogue));
}

}  // namespace

CARNOT_CPU_COMMANDS(gemm, {"cpu.gemm", make_gemm})

}  // namespace carnot::cpu
