// SPDX-License-Identifier: Apache-2.0
// cpu.matmul: y = activation(scale * a * b), both operands computed at run time, batch dims broadcast. Parameters trans_a, trans_b: the operand
// is stored with its last two axes swapped; blocking (see support.hpp) and packed_b (0 or 1) where the kernel should not choose itself.
#include "backends/cpu/commands/support.hpp"
#include "backends/cpu/kernels/gemm/gemm.hpp"

namespace carnot::cpu {
namespace {

class MatmulKernel final : public Kernel {
 public:
  MatmulKernel(bool trans_a, bool trans_b, double scale, Blocking blocking, int packed_b, EpilogueParams epilogue)
      : trans_a_(trans_a), trans_b_(trans_b), scale_(static_cast<float>(scale)), blocking_(blocking), packed_b_(packed_b), epilogue_(epilogue) {}
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.matmul", inputs, outputs, 2, 3); }

  size_t workspace(std::span<const TensorView> in, std::span<const TensorView> out, int threads) const override {
    auto problem = bind(in, out);
    return problem ? matmul_workspace(*problem, threads) : 0;
  }

  Status run(const KernelArgs& args) const override {
    CARNOT_ASSIGN(BatchedMatmul m, bind(args.in, args.out));
    CARNOT_ASSIGN(m.epilogue, epilogue_.bind(args, 2, m.n));
    run_matmul(m, args.workspace, *args.pool);
    return {};
  }

 private:
  Result<BatchedMatmul> bind(std::span<const TensorView> in, std::span<const TensorView> out) const {
    const TensorView &a = in[0], &b = in[1], &y = out[0];
    for (const TensorView* v : {&a, &b, &y}) CARNOT_RETURN_IF_ERROR(expect_f32(*v, "an operand"));
    const size_t rank = y.rank();
    if (a.rank() < 2 || b.rank() < 2 || rank < 2 || rank > 2 + BatchedMatmul::kBatchDims || a.rank() > rank || b.rank() > rank)
      return invalid("ranks {} and {} do not fit", a.rank(), b.rank());
    BatchedMatmul m;
    const int64_t a_rows = a.dims[a.rank() - 2], a_cols = a.dims[a.rank() - 1], b_rows = b.dims[b.rank() - 2], b_cols = b.dims[b.rank() - 1];
    m.m = trans_a_ ? a_cols : a_rows;
    m.k = trans_a_ ? a_rows : a_cols;
    m.n = trans_b_ ? b_rows : b_cols;
    if ((trans_b_ ? b_cols : b_rows) != m.k || y.dims[rank - 2] != m.m || y.dims[rank - 1] != m.n)
      return invalid("shapes {} and {} cannot be multiplied into {}", to_string(a.dims), to_string(b.dims), to_string(y.dims));
    m.a = a.as<float>();
    m.a_row = trans_a_ ? 1 : a_cols;
    m.a_col = trans_a_ ? a_cols : 1;
    m.b = b.as<float>();
    m.b_row = trans_b_ ? 1 : b_cols;
    m.b_col = trans_b_ ? b_cols : 1;
    m.c = const_cast<float*>(y.as<float>());
    m.c_row = m.n;
    m.scale = scale_;
    m.blocking = blocking_;
    m.packed_b = packed_b_;
    int64_t a_stride = a_rows * a_cols, b_stride = b_rows * b_cols, y_stride = m.m * m.n;
    for (size_t i = 0; i + 2 < rank; ++i) {
      // From the innermost batch dim outwards; slot 3 is the innermost.
      const size_t slot = BatchedMatmul::kBatchDims - 1 - i, axis = rank - 3 - i;
      const int64_t n = y.dims[axis];
      const int64_t an = a.rank() >= 3 + i ? a.dims[a.rank() - 3 - i] : 1, bn = b.rank() >= 3 + i ? b.dims[b.rank() - 3 - i] : 1;
      if ((an != n && an != 1) || (bn != n && bn != 1)) return invalid("batch dims of {} and {} do not broadcast to {}", to_string(a.dims), to_string(b.dims), to_string(y.dims));
      m.batch[slot] = n;
      m.a_batch[slot] = an == 1 ? 0 : a_stride;
      m.b_batch[slot] = bn == 1 ? 0 : b_stride;
      m.c_batch[slot] = y_stride;
      a_stride *= an;
      b_stride *= bn;
      y_stride *= n;
    }
    return m;
  }

  bool trans_a_, trans_b_;
  float scale_;
  Blocking blocking_;
  int packed_b_;
  EpilogueParams epilogue_;
};

Result<std::unique_ptr<Kernel>> make_matmul(const Attrs& params) {
  CARNOT_ASSIGN(const Blocking blocking, parse_blocking(params));
  const int64_t packed_b = attr_or<int64_t>(params, "packed_b", -1);
  if (packed_b < -1 || packed_b > 1) return fail(Code::kDataCorrupt, "parameter 'packed_b' is {}", packed_b);
  CARNOT_ASSIGN(EpilogueParams epilogue, EpilogueParams::parse(params));
  return std::unique_ptr<Kernel>(std::make_unique<MatmulKernel>(attr_or<int64_t>(params, "trans_a", 0) != 0, attr_or<int64_t>(params, "trans_b", 0) != 0,
                                                                attr_or<double>(params, "scale", 1.0), blocking, static_cast<int>(packed_b), epilogue));
}

}  // namespace

CARNOT_CPU_COMMANDS(matmul, {"cpu.matmul", make_matmul})

}  // namespace carnot::cpu
