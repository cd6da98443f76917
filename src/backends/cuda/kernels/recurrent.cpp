// SPDX-License-Identifier: Apache-2.0
// cuda.recurrent: lstm and gru of f32, ONNX's layout 0, sequences of one length. Operands: x [time, batch, input], w [directions * gates *
// hidden, input], r [directions, gates, hidden, hidden], bias? [directions * gates * hidden] (added to the products with x), r_bias?
// (gru: to those with the state), initial_h?, initial_c? [directions, batch, units]; results y?, y_h?, y_c?. Parameters: kind ("lstm",
// "gru"), direction, hidden (units rounded up to 32, 64, 128 or 256; what is beyond `units` in w, r and the biases is 0), units, tf32.
//
// One product makes what the inputs give to all steps; the steps are one launch of device/recurrent.cuh.
#include "backends/cuda/kernels/library_kernels.hpp"
#include "backends/cuda/kernels/own.hpp"
#include "backends/cuda/kernels/product.hpp"
#include "backends/cuda/kernels/shape_cache.hpp"
#include "device/device.hpp"

namespace carnot::cuda {
namespace {

using device::Kernel;
using device::KernelArgs;

struct Params {
  bool lstm = true, tf32 = false;
  int64_t directions = 1, first_reversed = 1, hidden = 0, units = 0;
  int64_t columns() const { return directions * (lstm ? 4 : 3) * hidden; }
};

struct Prepared {
  std::shared_ptr<ProductPlan> product;
  size_t sums_bytes = 0;
  int64_t time = 0, batch = 0;
};

class RecurrentKernel final : public Kernel {
 public:
  explicit RecurrentKernel(const Params& params) : params_(params) {}

  Status check_operands(size_t inputs, size_t outputs) const override {
    if (inputs >= 3 && inputs <= 7 && outputs >= 1 && outputs <= (params_.lstm ? 3u : 2u)) return {};
    return fail(Code::kDataCorrupt, "cuda.recurrent takes 3 to 7 operands and gives 1 to 3 results, the engine has {} and {}", inputs, outputs);
  }

  size_t workspace(std::span<const TensorView> in, std::span<const TensorView> out, int) const override {
    auto p = prepare(in, out);
    return p && (*p)->product ? (*p)->sums_bytes + aligned_size((*p)->product->workspace()) : 0;
  }

  Status run(const KernelArgs& args) const override {
    const std::span<const TensorView> out(args.out.data(), args.out.size());
    CARNOT_ASSIGN(const auto p, prepare(args.in, out));
    auto* stream = static_cast<CUstream>(args.stream->native());
    const auto data = [&](size_t i) { return i < args.in.size() && args.in[i].dtype != DType::kInvalid ? static_cast<const float*>(args.in[i].data) : nullptr; };
    const auto result = [&](size_t i) { return i < out.size() && out[i].dtype != DType::kInvalid ? static_cast<float*>(out[i].data) : nullptr; };
    if (p->batch == 0) return {};
    auto* sums = static_cast<std::byte*>(args.workspace);
    if (p->product) CARNOT_RETURN_IF_ERROR(p->product->run(stream, {data(0), data(1), data(3), nullptr, sums}, sums + p->sums_bytes));
    Recurrence r{.lstm = params_.lstm, .hidden = params_.hidden};
    r.x = reinterpret_cast<const float*>(sums), r.r = data(2), r.r_bias = data(4), r.h0 = data(5), r.c0 = params_.lstm ? data(6) : nullptr;
    r.y = result(0), r.y_h = result(1), r.y_c = params_.lstm ? result(2) : nullptr;
    r.time = p->time, r.batch = p->batch, r.directions = params_.directions, r.units = params_.units, r.first_reversed = params_.first_reversed;
    return launch_recurrence(stream, r);
  }

 private:
  Result<std::shared_ptr<Prepared>> prepare(std::span<const TensorView> in, std::span<const TensorView> out) const {
    return cache_.get(in, out, 16, [&] { return make(in, out); });
  }

  Result<std::shared_ptr<Prepared>> make(std::span<const TensorView> in, std::span<const TensorView> out) const {
    const auto needs = [&](const TensorView& v, int64_t size, std::string_view what) -> Status {
      if (v.dtype == DType::kF32 && v.size() == size) return {};
      return fail(Code::kDataCorrupt, "cuda.recurrent: {} is {}{}, {} elements of f32 are needed", what, dtype_name(v.dtype), to_string(v.dims), size);
    };
    if (in[0].dtype != DType::kF32 || in[0].rank() != 3) return fail(Code::kDataCorrupt, "cuda.recurrent: x is {}{}", dtype_name(in[0].dtype), to_string(in[0].dims));
    auto p = std::make_shared<Prepared>();
    const int64_t input = in[0].dims[2], columns = params_.columns();
    p->time = in[0].dims[0], p->batch = in[0].dims[1];
    const int64_t states = params_.directions * p->batch * params_.units;
    const int64_t sizes[] = {0, columns * input, columns * params_.hidden, columns, columns, states, states};
    for (size_t i = 1; i < in.size(); ++i)
      if (i < 3 || in[i].dtype != DType::kInvalid) CARNOT_RETURN_IF_ERROR(needs(in[i], sizes[i], fmt::format("operand {}", i)));
    for (size_t i = 0; i < out.size(); ++i)
      if (out[i].dtype != DType::kInvalid) CARNOT_RETURN_IF_ERROR(needs(out[i], i == 0 ? p->time * states : states, fmt::format("result {}", i)));
    if (p->time > (int64_t{1} << 30) || p->batch * params_.directions * 8 > (int64_t{1} << 30)) return fail(Code::kUnsupported, "{} steps of {} sequences", p->time, p->batch);
    const int64_t rows = p->time * p->batch;
    if (rows == 0) return p;
    Product product{.type = DType::kF32, .out_type = DType::kF32, .tf32 = params_.tf32, .m = rows, .n = columns, .k = input, .trans_w = true};
    product.lda = product.ldw = input;
    product.ldd = product.ldr = columns;
    product.bias = in.size() > 3 && in[3].dtype != DType::kInvalid;
    product.alignment = input % 4 == 0 ? 16 : 4;
    CARNOT_ASSIGN(p->product, ProductPlan::get(product));
    p->sums_bytes = aligned_size(static_cast<size_t>(rows * columns) * 4);
    return p;
  }

  const Params params_;
  ShapeCache<Prepared> cache_;
};

}  // namespace

Result<std::unique_ptr<Kernel>> make_recurrent(const Attrs& params) {
  Params p;
  const std::string kind = attr_or<std::string>(params, "kind", ""), direction = attr_or<std::string>(params, "direction", "forward");
  p.lstm = kind == "lstm";
  p.directions = direction == "bidirectional" ? 2 : 1;
  p.first_reversed = direction == "reverse" ? 0 : 1;
  p.hidden = attr_or<int64_t>(params, "hidden", 0);
  p.units = attr_or<int64_t>(params, "units", 0);
  p.tf32 = attr_or<int64_t>(params, "tf32", 0) != 0;
  if ((!p.lstm && kind != "gru") || (p.hidden != 32 && p.hidden != 64 && p.hidden != 128 && p.hidden != 256) || p.units < 1 || p.units > p.hidden)
    return fail(Code::kDataCorrupt, "cuda.recurrent: '{}' of {} units in {}", kind, p.units, p.hidden);
  return std::unique_ptr<Kernel>(std::make_unique<RecurrentKernel>(p));
}

}  // namespace carnot::cuda
