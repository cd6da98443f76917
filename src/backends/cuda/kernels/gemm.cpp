// SPDX-License-Identifier: Apache-2.0
// cuda.gemm: y = activation(scale * a @ b + bias + residual), numpy's rules for vectors and batch axes. Operands: a, b, bias? [n],
// residual? (y's shape). Parameters: trans_a, trans_b (the operand is stored with its last two axes swapped), scale, tf32, choice, and
// those of the epilogue.
#include <vector>

#include "backends/cuda/kernels/library_kernels.hpp"
#include "backends/cuda/kernels/own.hpp"
#include "backends/cuda/kernels/product.hpp"
#include "backends/cuda/kernels/shape_cache.hpp"
#include "backends/cuda/libraries/driver.hpp"
#include "device/device.hpp"

namespace carnot::cuda {
namespace {

using device::Kernel;
using device::KernelArgs;

// What runs for one set of shapes: `loop` products of one plan, each on a batch, then perhaps the rest of the epilogue.
struct Prepared {
  std::shared_ptr<ProductPlan> plan;  // null: nothing to do
  std::vector<BatchAxis> loop;
  bool bias_fused = false, residual_fused = false, own = false;
  Epilogue rest;
  int64_t elements = 0, channels = 1;
};

struct GemmParams {
  bool trans_a = false, trans_b = false, tf32 = false;
  double scale = 1;
  int64_t choice = -1;
  Epilogue epilogue;
};

class GemmKernel final : public Kernel {
 public:
  explicit GemmKernel(const GemmParams& params) : params_(params) {}

  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cuda.gemm", inputs, outputs, 2, 4); }

  size_t workspace(std::span<const TensorView> in, std::span<const TensorView> out, int) const override {
    auto prepared = prepare(in, out, 16);
    return prepared && (*prepared)->plan ? aligned_size((*prepared)->plan->workspace()) : 0;
  }

  Status run(const KernelArgs& args) const override {
    CARNOT_ASSIGN(const auto p, prepare(args.in, args.out, alignment_of(args.in, args.out)));
    if (!p->plan) return {};
    auto* stream = static_cast<CUstream>(args.stream->native());
    const TensorView &a = args.in[0], &b = args.in[1];
    TensorView& y = args.out[0];
    const void* bias = has(args.in, 2) ? args.in[2].data : nullptr;
    const void* residual = has(args.in, 3) ? args.in[3].data : nullptr;
    const ProductOperands operands{a.data, b.data, p->bias_fused ? bias : nullptr, p->residual_fused ? residual : nullptr, y.data};
    CARNOT_RETURN_IF_ERROR(run_batches(*p->plan, p->loop, dtype_size(a.dtype), dtype_size(y.dtype), stream, operands, args.workspace));
    if (!p->own) return {};
    return launch_epilogue(stream, y.dtype, y.data, p->bias_fused ? nullptr : bias, p->residual_fused ? nullptr : residual, p->elements, p->channels, p->rest);
  }

 private:
  static bool has(std::span<const TensorView> in, size_t i) { return i < in.size() && in[i].dtype != DType::kInvalid; }

  Result<std::shared_ptr<Prepared>> prepare(std::span<const TensorView> in, std::span<const TensorView> out, int alignment) const {
    return cache_.get(in, out, alignment, [&] { return make(in, out, alignment); });
  }

  Result<std::shared_ptr<Prepared>> make(std::span<const TensorView> in, std::span<const TensorView> out, int alignment) const {
    auto prepared = std::make_shared<Prepared>();
    Product product;
    CARNOT_RETURN_IF_ERROR(bind(in, out, product, prepared->loop));
    prepared->elements = out[0].size();
    prepared->channels = product.n;
    if (prepared->elements == 0) return prepared;
    product.alignment = alignment;
    for (const BatchAxis& axis : prepared->loop) product.alignment = axis.alignment(product.alignment, dtype_size(product.type), dtype_size(product.out_type));
    product.tf32 = params_.tf32;
    product.alpha = params_.scale;
    product.choice = params_.choice;
    CARNOT_RETURN_IF_ERROR(plan(in, product, *prepared));
    return prepared;
  }

  // As much of the epilogue as cuBLASLt takes goes into the product.
  Status plan(std::span<const TensorView> in, Product product, Prepared& prepared) const {
    const Epilogue& e = params_.epilogue;
    const Product bare = product;
    product.bias = prepared.bias_fused = has(in, 2);
    product.residual = prepared.residual_fused = has(in, 3) && !e.residual_after;
    prepared.rest = e;
    const bool narrow = product.type == DType::kF16 || product.type == DType::kBF16;
    if (e.activation == Activation::kRelu) product.epilogue = ProductEpilogue::kRelu;
    // The library's GELU is the tanh approximation: within 5e-4 of the exact one, which is half a step of fp16 at 1.
    if (e.activation == Activation::kGeluTanh || (e.activation == Activation::kGelu && narrow)) product.epilogue = ProductEpilogue::kGeluTanh;
    if (product.epilogue != ProductEpilogue::kNone) prepared.rest.activation = Activation::kNone;
    auto found = ProductPlan::get(product);
    if (!found && found.error().code == Code::kUnsupported && !(product == bare)) {
      found = ProductPlan::get(bare);
      prepared.bias_fused = prepared.residual_fused = false;
      prepared.rest = e;
    }
    if (!found) return std::move(found.error());
    prepared.plan = std::move(*found);
    prepared.own = prepared.rest.activation != Activation::kNone || (has(in, 2) && !prepared.bias_fused) || (has(in, 3) && !prepared.residual_fused);
    return {};
  }

  Status bind(std::span<const TensorView> in, std::span<const TensorView> out, Product& p, std::vector<BatchAxis>& loop) const {
    const TensorView &a = in[0], &b = in[1], &y = out[0];
    if (a.dtype != b.dtype || a.dtype != y.dtype) return invalid("operands of {}, {} and {}", dtype_name(a.dtype), dtype_name(b.dtype), dtype_name(y.dtype));
    if (a.rank() == 0 || b.rank() == 0) return invalid("an operand is a scalar");
    p.type = p.out_type = a.dtype;
    p.trans_a = params_.trans_a && a.rank() > 1;
    p.trans_w = params_.trans_b && b.rank() > 1;
    const int64_t a_rows = a.rank() > 1 ? a.dims[a.rank() - 2] : 1, a_columns = a.dims.back();
    const int64_t b_rows = b.rank() > 1 ? b.dims[b.rank() - 2] : b.dims[0], b_columns = b.rank() > 1 ? b.dims.back() : 1;
    p.m = p.trans_a ? a_columns : a_rows;
    p.k = p.trans_a ? a_rows : a_columns;
    p.n = p.trans_w ? b_rows : b_columns;
    const size_t a_batch = a.rank() > 2 ? a.rank() - 2 : 0, b_batch = b.rank() > 2 ? b.rank() - 2 : 0, batch = std::max(a_batch, b_batch);
    Dims expected(batch);
    for (size_t i = 0; i < batch; ++i) {
      const int64_t an = i + a_batch >= batch ? a.dims[i + a_batch - batch] : 1, bn = i + b_batch >= batch ? b.dims[i + b_batch - batch] : 1;
      if (an != bn && an != 1 && bn != 1) return invalid("batch axes of {} and {} do not broadcast", to_string(a.dims), to_string(b.dims));
      expected[i] = an == 1 ? bn : an;
    }
    if (a.rank() > 1) expected.push_back(p.m);
    if (b.rank() > 1) expected.push_back(p.n);
    if ((p.trans_w ? b_columns : b_rows) != p.k || y.dims != expected)
      return invalid("shapes {} and {} cannot be multiplied into {}", to_string(a.dims), to_string(b.dims), to_string(y.dims));
    if (p.k == 0 && y.size() > 0) return fail(Code::kUnsupported, "a product over no elements");
    for (size_t i = 2; i < in.size(); ++i) {
      if (in[i].dtype == DType::kInvalid) continue;
      if (in[i].dtype != y.dtype || (i == 2 ? in[i].size() != p.n : in[i].dims != y.dims))
        return invalid("{} {}{} does not fit a result {}{}", i == 2 ? "bias" : "residual", dtype_name(in[i].dtype), to_string(in[i].dims), dtype_name(y.dtype), to_string(y.dims));
    }
    p.lda = a_columns;
    p.ldw = b_columns;
    p.ldd = p.ldr = p.n;
    loop = join_batches(axes_of(a, b, batch, p), p);
    return {};
  }

  static std::vector<BatchAxis> axes_of(const TensorView& a, const TensorView& b, size_t batch, const Product& p) {
    std::vector<BatchAxis> axes;  // innermost first
    int64_t sa = p.m * p.k, sb = p.k * p.n, sy = p.m * p.n;
    for (size_t i = 0; i < batch; ++i) {
      const int64_t an = a.rank() >= 3 + i ? a.dims[a.rank() - 3 - i] : 1, bn = b.rank() >= 3 + i ? b.dims[b.rank() - 3 - i] : 1, n = std::max(an, bn);
      if (n != 1) axes.push_back({n, an == 1 ? 0 : sa, bn == 1 ? 0 : sb, sy});
      sa *= an, sb *= bn, sy *= n;
    }
    return axes;
  }

  GemmParams params_;
  ShapeCache<Prepared> cache_;
};

}  // namespace

Result<std::unique_ptr<Kernel>> make_gemm(const Attrs& params) {
  GemmParams p;
  p.trans_a = attr_or<int64_t>(params, "trans_a", 0) != 0;
  p.trans_b = attr_or<int64_t>(params, "trans_b", 0) != 0;
  p.tf32 = attr_or<int64_t>(params, "tf32", 0) != 0;
  p.scale = attr_or(params, "scale", 1.0);
  p.choice = attr_or<int64_t>(params, "choice", -1);
  CARNOT_ASSIGN(p.epilogue, read_epilogue(params));
  return std::unique_ptr<Kernel>(std::make_unique<GemmKernel>(p));
}

}  // namespace carnot::cuda
