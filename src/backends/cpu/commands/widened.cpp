// SPDX-License-Identifier: Apache-2.0
// cpu.widened: another kernel of f32 (parameter `kernel_id`, beside its own) on tensors of f16 and bf16. Operands are widened into scratch
// before it runs, results rounded after it; operands of other types are handed through.
#include "backends/cpu/commands/support.hpp"
#include "backends/cpu/kernels/half/half.hpp"

namespace carnot::cpu {
namespace {

size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

struct Rows {
  int64_t rows, columns, ld;
};
Rows rows_of(const TensorView& t) {
  const int64_t n = t.size();
  if (t.pitch == 0 || n == 0) return {1, n, n};
  return {n / t.dims.back(), t.dims.back(), t.pitch};
}

// The tensors as the inner kernel sees them, and the scratch that they take.
struct Wide {
  std::vector<TensorView> in, out;
  size_t bytes = 0;

  // Rows that lie apart adjoin in the scratch; what is handed through keeps its pitch. Keeps the memory of earlier runs, so that a thread that has seen the shapes does not allocate.
  void bind(std::span<const TensorView> from_in, std::span<const TensorView> from_out, char* scratch) {
    bytes = 0;
    auto copy = [&](std::span<const TensorView> from, std::vector<TensorView>& to) {
      to.resize(from.size());
      for (size_t i = 0; i < from.size(); ++i) {
        to[i].dtype = from[i].dtype;
        to[i].dims.assign(from[i].dims.begin(), from[i].dims.end());
        to[i].data = from[i].data;
        to[i].pitch = from[i].pitch;
        if (!is_half(from[i].dtype)) continue;
        to[i].pitch = 0;
        to[i].dtype = DType::kF32;
        to[i].data = scratch ? scratch + bytes : nullptr;
        bytes += aligned(static_cast<size_t>(from[i].size()) * sizeof(float));
      }
    };
    copy(from_in, in);
    copy(from_out, out);
  }
};

class WidenedKernel final : public Kernel {
 public:
  explicit WidenedKernel(std::unique_ptr<Kernel> inner) : inner_(std::move(inner)) {}
  Status check_operands(size_t inputs, size_t outputs) const override { return inner_->check_operands(inputs, outputs); }

  bool takes_pitch(bool result, size_t i) const override { return inner_->takes_pitch(result, i); }

  size_t workspace(std::span<const TensorView> in, std::span<const TensorView> out, int threads) const override {
    Wide wide;
    wide.bind(in, out, nullptr);
    return wide.bytes + inner_->workspace(wide.in, wide.out, threads);
  }

  Status run(const KernelArgs& args) const override {
    thread_local Wide wide;
    char* const scratch = static_cast<char*>(args.workspace);
    wide.bind(args.in, args.out, scratch);
    for (size_t i = 0; i < args.in.size(); ++i)
      if (const TensorView& x = args.in[i]; is_half(x.dtype)) {
        const auto [rows, columns, ld] = rows_of(x);
        widen_rows(x.dtype, x.data, ld, wide.in[i].as<float>(), rows, columns, *args.pool);
      }
    CARNOT_RETURN_IF_ERROR(inner_->run({wide.in, wide.out, scratch + wide.bytes, args.pool}));
    for (size_t i = 0; i < args.out.size(); ++i)
      if (const TensorView& y = args.out[i]; is_half(y.dtype)) {
        const auto [rows, columns, ld] = rows_of(y);
        narrow_rows(y.dtype, wide.out[i].as<float>(), y.data, ld, rows, columns, *args.pool);
      }
    return {};
  }

 private:
  std::unique_ptr<Kernel> inner_;
};

Result<std::unique_ptr<Kernel>> make_widened(const Attrs& params) {
  const std::string id = attr_or<std::string>(params, "kernel_id", "");
  const KernelRow* row = id == "cpu.widened" ? nullptr : find_kernel(id);
  if (!row) return fail(Code::kDataCorrupt, "kernel 'cpu.widened' has no kernel '{}' to run", id);
  CARNOT_ASSIGN(std::unique_ptr<Kernel> inner, row->make(params));
  return std::unique_ptr<Kernel>(std::make_unique<WidenedKernel>(std::move(inner)));
}

}  // namespace

CARNOT_CPU_COMMANDS(widened, {"cpu.widened", make_widened})

}  // namespace carnot::cpu
