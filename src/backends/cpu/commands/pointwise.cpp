// SPDX-License-Identifier: Apache-2.0
// cpu.pointwise: a fused element-wise program (parameter `program`, kernels/pointwise/program.hpp) over broadcast operands.
#include "backends/cpu/kernels/pointwise/pointwise.hpp"

#include "backends/cpu/commands/support.hpp"

namespace carnot::cpu {
namespace {

class PointwiseKernel final : public Kernel {
 public:
  explicit PointwiseKernel(PointwiseProgram program) : program_(std::move(program)) {}
  Status check_operands(size_t inputs, size_t outputs) const override {
    return expect_operands("cpu.pointwise", inputs, outputs, program_.inputs.size(), program_.inputs.size(), program_.outputs.size());
  }
  bool takes_pitch(bool, size_t) const override { return true; }
  Status run(const KernelArgs& args) const override {
    std::array<PointwiseInput, PointwiseProgram::kMaxInputs> inputs;
    std::array<PointwiseResult, PointwiseProgram::kMaxOutputs> outputs;
    const Dims& dims = args.out[0].dims;
    for (size_t i = 0; i < args.in.size(); ++i) {
      if (args.in[i].dtype != program_.inputs[i]) return fail(Code::kDataCorrupt, "operand {} has the wrong dtype", i);
      inputs[i] = {args.in[i].data, &args.in[i].dims, args.in[i].pitch};
    }
    for (size_t i = 0; i < args.out.size(); ++i) {
      if (args.out[i].dtype != program_.outputs[i].dtype || args.out[i].dims != dims) return fail(Code::kDataCorrupt, "result {} has the wrong type", i);
      outputs[i] = {args.out[i].data, args.out[i].pitch};
    }
    return run_pointwise(program_, {inputs.data(), args.in.size()}, {outputs.data(), args.out.size()}, dims, *args.pool);
  }

 private:
  PointwiseProgram program_;
};

Result<std::unique_ptr<Kernel>> make_pointwise(const Attrs& params) {
  CARNOT_ASSIGN(PointwiseProgram program, PointwiseProgram::parse(attr_or<std::string>(params, "program", "")));
  return std::unique_ptr<Kernel>(std::make_unique<PointwiseKernel>(std::move(program)));
}

}  // namespace

CARNOT_CPU_COMMANDS(pointwise, {"cpu.pointwise", make_pointwise})

}  // namespace carnot::cpu
