// SPDX-License-Identifier: Apache-2.0
// cpu.recurrent: lstm or gru over f32 [time, batch, input]. Parameters kind ("lstm", "gru"), direction, hidden. Operands x, packed w, packed r,
// bias on x [directions, gates*hidden]?, bias on h?, initial h?, initial c?, i32 lengths [batch]?; results y, last h?, last c?.
#include "backends/cpu/commands/support.hpp"
#include "backends/cpu/kernels/gemm/pack.hpp"
#include "backends/cpu/kernels/recurrent/recurrent.hpp"

namespace carnot::cpu {
namespace {

class RecurrentKernel final : public Kernel {
 public:
  RecurrentKernel(bool lstm, int64_t directions, bool reverse, int64_t hidden) {
    base_.lstm = lstm;
    base_.directions = directions;
    base_.reverse = reverse;
    base_.hidden = hidden;
  }
  Status check_operands(size_t inputs, size_t outputs) const override {
    if (inputs >= 3 && inputs <= 8 && outputs >= 1 && outputs <= (base_.lstm ? 3u : 2u)) return {};
    return fail(Code::kDataCorrupt, "kernel 'cpu.recurrent' takes 3 to 8 operands and gives 1 to 3 results, the engine has {} and {}", inputs, outputs);
  }
  size_t workspace(std::span<const TensorView> in, std::span<const TensorView> out, int) const override {
    auto problem = bind(in, out);
    return problem ? static_cast<size_t>(recurrent_workspace(*problem)) * sizeof(float) : 0;
  }
  Status run(const KernelArgs& args) const override {
    CARNOT_ASSIGN(const Recurrent problem, bind(args.in, args.out));
    for (int64_t b = 0; problem.lengths && b < problem.batch; ++b)
      if (problem.lengths[b] < 0 || problem.lengths[b] > problem.time)
        return invalid("'sequence_lens' holds {}, outside [0, {}]", problem.lengths[b], problem.time);
    if (!problem.y && problem.time * problem.batch > 0) return fail(Code::kDataCorrupt, "kernel 'cpu.recurrent' has no memory for its first result");
    run_recurrent(problem, static_cast<float*>(args.workspace), *args.pool);
    return {};
  }

 private:
  Result<Recurrent> bind(std::span<const TensorView> in, std::span<const TensorView> out) const {
    Recurrent p = base_;
    CARNOT_RETURN_IF_ERROR(expect_f32(in[0], "x"));
    if (in[0].rank() != 3) return fail(Code::kDataCorrupt, "x must have rank 3, got shape {}", to_string(in[0].dims));
    p.time = in[0].dims[0];
    p.batch = in[0].dims[1];
    p.input = in[0].dims[2];
    const int64_t d = p.directions, columns = p.gates() * p.hidden;
    CARNOT_RETURN_IF_ERROR(checked_size({p.time, p.batch, d, columns, 16}));
    const Dims state{d, p.batch, p.hidden};
    // Null for an absent operand; else its data, which must have `size` elements.
    auto operand = [&](size_t i, int64_t size) -> Result<const float*> {
      if (i >= in.size() || in[i].dtype == DType::kInvalid) return static_cast<const float*>(nullptr);
      CARNOT_RETURN_IF_ERROR(expect_f32(in[i], "an operand"));
      if (in[i].size() != size) return fail(Code::kDataCorrupt, "operand {} has {} elements, {} are needed", i, in[i].size(), size);
      return in[i].as<float>();
    };
    p.x = in[0].as<float>();
    CARNOT_ASSIGN(p.w, operand(1, d * packed_size(p.input, columns)));
    CARNOT_ASSIGN(p.r, operand(2, d * packed_size(p.hidden, columns)));
    CARNOT_ASSIGN(p.w_bias, operand(3, d * columns));
    CARNOT_ASSIGN(p.r_bias, operand(4, d * columns));
    CARNOT_ASSIGN(p.initial_h, operand(5, size_of(state)));
    CARNOT_ASSIGN(p.initial_c, operand(6, size_of(state)));
    if (in.size() > 7 && in[7].dtype != DType::kInvalid) {
      if (in[7].dtype != DType::kI32 || in[7].size() != p.batch)
        return invalid("'sequence_lens' is {}{}, i32[{}] is needed", dtype_name(in[7].dtype), to_string(in[7].dims), p.batch);
      p.lengths = in[7].as<int32_t>();
    }
    if (in[1].dtype == DType::kInvalid || in[2].dtype == DType::kInvalid) return fail(Code::kDataCorrupt, "the weights are missing");
    auto result = [&](size_t i, const Dims& dims) -> Result<float*> {
      if (i >= out.size() || out[i].dtype == DType::kInvalid) return static_cast<float*>(nullptr);
      if (out[i].dtype != DType::kF32 || out[i].dims != dims)
        return fail(Code::kDataCorrupt, "result {} is {}{}, not f32{}", i, dtype_name(out[i].dtype), to_string(out[i].dims), to_string(dims));
      return static_cast<float*>(out[i].data);
    };
    CARNOT_ASSIGN(p.y, result(0, {p.time, d, p.batch, p.hidden}));
    CARNOT_ASSIGN(p.last_h, result(1, state));
    CARNOT_ASSIGN(p.last_c, result(2, state));
    return p;
  }

  Recurrent base_;
};

Result<std::unique_ptr<Kernel>> make_recurrent(const Attrs& params) {
  const std::string kind = attr_or<std::string>(params, "kind", ""), direction = attr_or<std::string>(params, "direction", "forward");
  const int64_t hidden = attr_or<int64_t>(params, "hidden", 0);
  if ((kind != "lstm" && kind != "gru") || hidden < 1 || hidden > (int64_t{1} << 24))
    return fail(Code::kDataCorrupt, "kernel 'cpu.recurrent': kind '{}', hidden {}", kind, hidden);
  return std::unique_ptr<Kernel>(std::make_unique<RecurrentKernel>(kind == "lstm", direction == "bidirectional" ? 2 : 1, direction == "reverse", hidden));
}

}  // namespace

CARNOT_CPU_COMMANDS(recurrent, {"cpu.recurrent", make_recurrent})

}  // namespace carnot::cpu
