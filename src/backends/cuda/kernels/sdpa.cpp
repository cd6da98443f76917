// SPDX-License-Identifier: Apache-2.0
// cuda.sdpa: y = softmax(scale * q @ k^T + mask) @ v per batch and head, with heads lying anywhere: the operator sdpa, and its parameters.
// f16 and bf16 run in one launch: with a mask, causal, or short by a kernel of our own, else by cuDNN's fused attention; everything else as
// product, softmax, product.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backends/cuda/kernels/library_kernels.hpp"
#include "backends/cuda/kernels/attention_graph.hpp"
#include "backends/cuda/kernels/own.hpp"
#include "backends/cuda/kernels/product.hpp"
#include "backends/cuda/kernels/shape_cache.hpp"
#include "base/log.hpp"
#include "device/device.hpp"

namespace carnot::cuda {
namespace {

using device::Kernel;
using device::KernelArgs;

struct SdpaParams {
  int64_t heads = 1, kv_heads = 1;
  double scale = 1;
  std::string q_layout, k_layout, v_layout, y_layout, causal;
  int64_t q_first = 0, k_first = 0, v_first = 0;
  std::optional<double> fill;
  bool zero_nan = false, tf32 = false;
};

// What runs for one set of shapes: our kernel, the fused graph, or two products around a softmax.
struct Prepared {
  std::optional<Attention> own;
  std::shared_ptr<AttentionGraph> fused;
  std::shared_ptr<ProductPlan> scores, result;
  std::vector<BatchAxis> scores_loop, result_loop;
  MaskedSoftmax softmax;
  int64_t q_offset = 0, k_offset = 0, v_offset = 0;  // elements
  size_t scores_bytes = 0, probabilities_bytes = 0, product_bytes = 0;
  bool no_keys = false;  // then the result is 0
  size_t workspace() const { return own ? 0 : fused ? fused->workspace() : scores_bytes + probabilities_bytes + product_bytes; }
};

class SdpaKernel final : public Kernel {
 public:
  explicit SdpaKernel(SdpaParams params) : params_(std::move(params)) {}

  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cuda.sdpa", inputs, outputs, 3, 4); }

  size_t workspace(std::span<const TensorView> in, std::span<const TensorView> out, int) const override {
    if (out[0].size() == 0) return 0;
    auto prepared = prepare(in, out, 16);
    return prepared ? aligned_size((*prepared)->workspace()) : 0;
  }

  Status run(const KernelArgs& args) const override {
    if (args.out[0].size() == 0) return {};
    CARNOT_ASSIGN(const auto p, prepare(args.in, args.out, alignment_of(args.in, args.out)));
    if (p->no_keys) return args.stream->fill(args.out[0].data, 0, args.out[0].bytes());
    auto* stream = static_cast<CUstream>(args.stream->native());
    const auto element = static_cast<int64_t>(dtype_size(args.in[0].dtype));
    auto data = [&](size_t i, int64_t offset) { return static_cast<const std::byte*>(args.in[i].data) + offset * element; };
    const void *q = data(0, p->q_offset), *k = data(1, p->k_offset), *v = data(2, p->v_offset);
    const void* mask = has_mask(args.in) ? args.in[3].data : nullptr;
    void* y = args.out[0].data;
    if (p->own) {
      MaskedSoftmax softmax = p->softmax;
      softmax.mask = mask;
      return launch_attention(stream, *p->own, softmax, q, k, v, y);
    }
    if (p->fused) return p->fused->run(stream, q, k, v, y, args.workspace);
    auto* scores = static_cast<std::byte*>(args.workspace);
    std::byte* probabilities = p->probabilities_bytes ? scores + p->scores_bytes : scores;
    std::byte* free = scores + p->scores_bytes + p->probabilities_bytes;
    CARNOT_RETURN_IF_ERROR(run_batches(*p->scores, p->scores_loop, static_cast<size_t>(element), 4, stream, {q, k, nullptr, nullptr, scores}, free));
    MaskedSoftmax softmax = p->softmax;
    softmax.mask = mask;
    CARNOT_RETURN_IF_ERROR(launch_softmax(stream, args.in[0].dtype, reinterpret_cast<const float*>(scores), probabilities, softmax));
    return run_batches(*p->result, p->result_loop, static_cast<size_t>(element), static_cast<size_t>(element), stream, {probabilities, v, nullptr, nullptr, y}, free);
  }

 private:
  static bool has_mask(std::span<const TensorView> in) { return in.size() > 3 && in[3].dtype != DType::kInvalid; }

  Result<std::shared_ptr<Prepared>> prepare(std::span<const TensorView> in, std::span<const TensorView> out, int alignment) const {
    return cache_.get(in, out, alignment, [&] { return make(in, out, alignment); });
  }

  // Sizes and steps of an operand's axes, whatever order they lie in; `first`: its first head.
  Result<HeadLayout> layout(const TensorView& view, const std::string& order, int64_t heads, int64_t first) const {
    if (view.rank() != 4 || order.size() != 4) return invalid("{} does not have the axes '{}'", to_string(view.dims), order);
    HeadLayout l;
    int64_t step = 1, seen = 0, h_size = 0;
    for (size_t i = 4; i-- > 0;) {
      const int64_t n = view.dims[i];
      switch (order[i]) {
        case 'b': l.batch = n, l.batch_step = step, seen |= 1; break;
        case 'h': h_size = n, l.head_step = step, seen |= 2; break;
        case 's': l.length = n, l.row_step = step, seen |= 4; break;
        case 'd': l.size = n, l.column_step = step, seen |= 8; break;
        default: return invalid("'{}' does not name axes", order);
      }
      step *= n;
    }
    if (seen != 15 || heads < 1 || first < 0 || first > h_size - heads) return invalid("{} heads from {} of {}, axes '{}'", heads, first, to_string(view.dims), order);
    l.heads = heads;
    l.offset = first * l.head_step;
    return l;
  }

  Result<std::shared_ptr<Prepared>> make(std::span<const TensorView> in, std::span<const TensorView> out, int alignment) const {
    const DType type = in[0].dtype;
    if (in[1].dtype != type || in[2].dtype != type || out[0].dtype != type) return invalid("q, k, v and y differ in type");
    Attention a;
    a.type = type;
    CARNOT_ASSIGN(a.q, layout(in[0], params_.q_layout, params_.heads, params_.q_first));
    CARNOT_ASSIGN(a.k, layout(in[1], params_.k_layout, params_.kv_heads, params_.k_first));
    CARNOT_ASSIGN(a.v, layout(in[2], params_.v_layout, params_.kv_heads, params_.v_first));
    CARNOT_ASSIGN(a.y, layout(out[0], params_.y_layout, params_.heads, 0));
    if (a.q.heads % a.k.heads || a.q.size != a.k.size || a.k.length != a.v.length || a.y.length != a.q.length || a.y.size != a.v.size || a.y.batch != a.q.batch ||
        (a.k.batch != a.q.batch && a.k.batch != 1) || a.k.batch != a.v.batch)
      return invalid("q {}, k {}, v {} and y {} do not fit", to_string(in[0].dims), to_string(in[1].dims), to_string(in[2].dims), to_string(out[0].dims));
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
    if (a.q.length > kMost || a.k.length > kMost) return fail(Code::kUnsupported, "attention over {} keys", a.k.length);
    a.scale = params_.scale;
    auto prepared = std::make_shared<Prepared>();
    prepared->no_keys = a.k.length == 0;
    if (prepared->no_keys) return prepared;
    prepared->q_offset = a.q.offset, prepared->k_offset = a.k.offset, prepared->v_offset = a.v.offset;
    CARNOT_RETURN_IF_ERROR(bind_mask(in, a, prepared->softmax));
    const MaskedSoftmax& s = prepared->softmax;
    for (const int64_t offset : {a.q.offset, a.k.offset, a.v.offset})
      while (alignment > 1 && offset * static_cast<int64_t>(dtype_size(type)) % alignment) alignment /= 2;
    // cuDNN is faster where there is much to do, and knows no mask.
    const bool plain = !params_.zero_nan && !has_mask(in) && !s.causal;
    if (can_launch_attention(a, alignment) && (!plain || (a.k.length <= 512 && a.q.batch * a.q.heads * a.q.length <= 16384))) {
      prepared->own = a;
      return prepared;
    }
    if ((type == DType::kF16 || type == DType::kBF16) && !params_.zero_nan && !has_mask(in) && !s.causal && a.k.batch == a.q.batch && alignment == 16) {
      auto fused = AttentionGraph::get(a);
      if (fused) {
        prepared->fused = std::move(*fused);
        return prepared;
      }
      if (fused.error().code != Code::kUnsupported && fused.error().code != Code::kNotFound) return std::move(fused.error());
      CARNOT_LOG(2, "cuda", "attention runs as product, softmax, product: {}", fused.error().message);
    }
    CARNOT_RETURN_IF_ERROR(compose(a, alignment, *prepared));
    return prepared;
  }

  // The mask's axes against [batch, heads, queries, keys].
  Status bind_mask(std::span<const TensorView> in, const Attention& a, MaskedSoftmax& s) const {
    s.batch = a.q.batch, s.heads = a.q.heads, s.queries = a.q.length, s.keys = a.k.length;
    s.causal = params_.causal != "none", s.causal_shift = params_.causal == "bottom" ? a.k.length - a.q.length : 0, s.zero_nan = params_.zero_nan;
    s.fill = params_.fill ? static_cast<float>(*params_.fill) : -std::numeric_limits<float>::infinity();
    if (!has_mask(in)) return {};
    const TensorView& mask = in[3];
    if (mask.rank() > 4 || (mask.dtype != DType::kBool && mask.dtype != DType::kF32 && mask.dtype != a.type))
      return invalid("a mask {}{}", dtype_name(mask.dtype), to_string(mask.dims));
    s.mask_dtype = mask.dtype;
    const int64_t wanted[4] = {s.batch, s.heads, s.queries, s.keys};
    int64_t step = 1;
    for (size_t i = 0; i < mask.rank(); ++i) {
      const size_t axis = 3 - i;
      const int64_t n = mask.dims[mask.rank() - 1 - i];
      const bool repeats = axis == 0 && n > 0 && s.batch % n == 0;
      if (n != 1 && n != wanted[axis] && !repeats) return invalid("a mask {} does not broadcast to the scores", to_string(mask.dims));
      s.mask_strides[axis] = n == 1 ? 0 : step;
      if (axis == 0) s.mask_batch = n;
      step *= n;
    }
    return {};
  }

  Status compose(const Attention& a, int alignment, Prepared& p) const {
    const int64_t groups = a.q.heads / a.k.heads, queries = a.q.length, keys = a.k.length, matrix = queries * keys;
    const bool shared = a.k.batch == 1;
    if (a.y.column_step != 1) return fail(Code::kUnsupported, "y's last axis is not that of the head's size");
    Product s{.type = a.type, .out_type = DType::kF32, .tf32 = params_.tf32, .m = queries, .n = keys, .k = a.q.size, .alpha = a.scale, .alignment = alignment};
    CARNOT_RETURN_IF_ERROR(rows(a.q, s.trans_a, s.lda));
    CARNOT_RETURN_IF_ERROR(rows(a.k, s.trans_w, s.ldw));
    s.trans_w = !s.trans_w;  // k lies as [keys][size]
    s.ldd = s.ldr = keys;
    p.scores_loop = join_batches({{groups, a.q.head_step, 0, matrix},
                                  {a.k.heads, groups * a.q.head_step, a.k.head_step, groups * matrix},
                                  {a.q.batch, a.q.batch_step, shared ? 0 : a.k.batch_step, a.q.heads * matrix}},
                                 s);
    Product r{.type = a.type, .out_type = a.type, .tf32 = params_.tf32, .m = queries, .n = a.v.size, .k = keys, .alignment = alignment};
    r.lda = keys;
    CARNOT_RETURN_IF_ERROR(rows(a.v, r.trans_w, r.ldw));
    r.ldd = r.ldr = a.y.row_step;
    p.result_loop = join_batches({{groups, matrix, 0, a.y.head_step},
                                  {a.k.heads, groups * matrix, a.v.head_step, groups * a.y.head_step},
                                  {a.q.batch, a.q.heads * matrix, shared ? 0 : a.v.batch_step, a.y.batch_step}},
                                 r);
    for (const BatchAxis& axis : p.scores_loop) s.alignment = axis.alignment(s.alignment, dtype_size(a.type), 4);
    for (const BatchAxis& axis : p.result_loop) r.alignment = axis.alignment(r.alignment, dtype_size(a.type), dtype_size(a.type));
    CARNOT_ASSIGN(p.scores, ProductPlan::get(s));
    CARNOT_ASSIGN(p.result, ProductPlan::get(r));
    const auto elements = static_cast<size_t>(a.q.batch * a.q.heads * matrix);
    p.scores_bytes = aligned_size(elements * 4);
    p.probabilities_bytes = a.type == DType::kF32 ? 0 : aligned_size(elements * dtype_size(a.type));
    p.product_bytes = std::max(p.scores->workspace(), p.result->workspace());
    return {};
  }

  // Rows of `size` elements, or the other way round.
  static Status rows(const HeadLayout& l, bool& transposed, int64_t& ld) {
    if (l.column_step == 1) {
      transposed = false, ld = l.row_step;
    } else if (l.row_step == 1) {
      transposed = true, ld = l.column_step;
    } else {
      return fail(Code::kUnsupported, "neither positions nor elements of a head adjoin");
    }
    return {};
  }

  SdpaParams params_;
  ShapeCache<Prepared> cache_;
};

}  // namespace

Result<std::unique_ptr<Kernel>> make_sdpa(const Attrs& params) {
  SdpaParams p;
  p.heads = attr_or<int64_t>(params, "heads", 0);
  p.kv_heads = attr_or<int64_t>(params, "kv_heads", 0);
  p.scale = attr_or(params, "scale", 1.0);
  p.q_layout = attr_or<std::string>(params, "q_layout", "bhsd");
  p.k_layout = attr_or<std::string>(params, "k_layout", "bhsd");
  p.v_layout = attr_or<std::string>(params, "v_layout", "bhsd");
  p.y_layout = attr_or<std::string>(params, "y_layout", "bhsd");
  p.q_first = attr_or<int64_t>(params, "q_first", 0);
  p.k_first = attr_or<int64_t>(params, "k_first", 0);
  p.v_first = attr_or<int64_t>(params, "v_first", 0);
  p.causal = attr_or<std::string>(params, "causal", "none");
  if (const double* fill = find_attr<double>(params, "fill")) p.fill = *fill;
  p.zero_nan = attr_or<int64_t>(params, "zero_nan", 0) != 0;
  p.tf32 = attr_or<int64_t>(params, "tf32", 0) != 0;
  if (p.heads < 1 || p.kv_heads < 1 || p.heads % p.kv_heads) return fail(Code::kDataCorrupt, "{} heads on {} key heads", p.heads, p.kv_heads);
  if (p.causal != "none" && p.causal != "top" && p.causal != "bottom") return fail(Code::kDataCorrupt, "causal is '{}'", p.causal);
  return std::unique_ptr<Kernel>(std::make_unique<SdpaKernel>(std::move(p)));
}

}  // namespace carnot::cuda
