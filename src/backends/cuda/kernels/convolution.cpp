// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/convolution.hpp"

#include <atomic>
#include <cmath>
#include <mutex>
#include <vector>

#include "backends/cuda/kernels/graph_plan.hpp"
#include "backends/cuda/kernels/own.hpp"
#include "backends/cuda/kernels/plan_cache.hpp"
#include "backends/cuda/kernels/product.hpp"
#include "backends/cuda/libraries/timing.hpp"
#include "base/log.hpp"

namespace carnot::cuda {
namespace {

// cuDNN names axes in the order batch, channels, spatial, whatever order they lie in.
struct Layout {
  std::vector<int64_t> dims, strides;
};

Layout channels_last(int64_t batch, int64_t channels, const int64_t (&spatial)[3], bool volume) {
  Layout layout;
  layout.dims = {batch, channels};
  int64_t pixels = 1;
  for (int i = volume ? 0 : 1; i < 3; ++i) layout.dims.push_back(spatial[i]), pixels *= spatial[i];
  layout.strides = {pixels * channels, 1};
  for (size_t i = 2; i < layout.dims.size(); ++i) {
    pixels /= std::max<int64_t>(layout.dims[i], 1);
    layout.strides.push_back(pixels * channels);
  }
  return layout;
}

// y = activation(x); the last operation writes `y`, those before it tensors that `temporary` makes.
template <typename Temporary>
void add_activation(Graph& g, const Convolution& c, int x, int y, size_t rank, Temporary&& temporary) {
  switch (c.activation) {
    case Activation::kNone: return;
    case Activation::kRelu: return g.pointwise(CUDNN_POINTWISE_RELU_FWD, x, 0, y);
    case Activation::kLeakyRelu: return g.pointwise(CUDNN_POINTWISE_RELU_FWD, x, 0, y, {.slope = c.alpha});
    case Activation::kSigmoid: return g.pointwise(CUDNN_POINTWISE_SIGMOID_FWD, x, 0, y);
    case Activation::kSilu: return g.pointwise(CUDNN_POINTWISE_SWISH_FWD, x, 0, y, {.swish_beta = 1.0});
    case Activation::kQuickGelu: return g.pointwise(CUDNN_POINTWISE_SWISH_FWD, x, 0, y, {.swish_beta = 1.702});
    case Activation::kTanh: return g.pointwise(CUDNN_POINTWISE_TANH_FWD, x, 0, y);
    case Activation::kGelu: return g.pointwise(CUDNN_POINTWISE_GELU_FWD, x, 0, y);
    case Activation::kGeluTanh: return g.pointwise(CUDNN_POINTWISE_GELU_APPROX_TANH_FWD, x, 0, y);
    case Activation::kClip: {
      const int raised = std::isinf(c.beta) ? y : temporary();
      if (c.alpha == 0) g.pointwise(CUDNN_POINTWISE_RELU_FWD, x, 0, raised);
      else g.pointwise(CUDNN_POINTWISE_MAX, x, g.scalar(c.alpha, rank), raised);
      if (!std::isinf(c.beta)) g.pointwise(CUDNN_POINTWISE_MIN, raised, g.scalar(c.beta, rank), y);
      return;
    }
    case Activation::kHardSigmoid:
    case Activation::kHardSwish: {
      const bool swish = c.activation == Activation::kHardSwish;
      const int scaled = temporary(), shifted = temporary(), gate = swish ? temporary() : y;
      g.pointwise(CUDNN_POINTWISE_MUL, x, g.scalar(c.alpha, rank), scaled);
      g.pointwise(CUDNN_POINTWISE_ADD, scaled, g.scalar(c.beta, rank), shifted);
      g.pointwise(CUDNN_POINTWISE_RELU_FWD, shifted, 0, gate, {.lower = 0.0, .upper = 1.0});
      if (swish) g.pointwise(CUDNN_POINTWISE_MUL, x, gate, y);
      return;
    }
  }
}

// A graph with the plans found for it, and its operands' numbers.
struct Variant {
  std::unique_ptr<Graph> graph;
  std::vector<GraphPlan> plans;
  bool fused = false;
  int x = 0, w = 0, bias = 0, residual = 0, y = 0;
};

Result<Variant> make_variant(const Cudnn& library, const Convolution& c, bool fused, const PlanWish& wish) {
  Variant v;
  v.graph = std::make_unique<Graph>(library);
  v.fused = fused;
  Graph& g = *v.graph;
  const Layout x = channels_last(c.batch, c.weight_channels * c.groups, c.in, c.volume), y = channels_last(c.batch, c.out_channels, c.out, c.volume);
  // Transposed, the weights belong to the convolution from y to x.
  const Layout w = c.transposed ? channels_last(c.in_channels, c.out_channels / c.groups, c.kernel, c.volume)
                                : channels_last(c.out_channels, c.weight_channels, c.kernel, c.volume);
  v.x = g.tensor(c.type, x.dims, x.strides, c.alignment);
  v.w = g.tensor(c.type, w.dims, w.strides, c.alignment);
  v.y = g.tensor(c.type, y.dims, y.strides, c.alignment);
  auto temporary = [&] { return g.virtual_tensor(CUDNN_DATA_FLOAT, y.dims, y.strides); };
  const bool activates = fused && c.activation != Activation::kNone;
  int steps = fused ? (c.bias ? 1 : 0) + (c.residual ? 1 : 0) + (activates ? 1 : 0) : 0;
  auto next = [&] { return steps-- > 0 ? temporary() : v.y; };
  int sum = next();
  const size_t first = c.volume ? 0 : 1, rank = x.dims.size();
  auto span = [&](const int64_t(&a)[3]) { return std::span<const int64_t>(a + first, 3 - first); };
  g.convolution({span(c.before), span(c.after), span(c.stride), span(c.dilation)}, c.transposed, v.x, v.w, sum);
  if (fused) {
    if (c.bias) {
      std::vector<int64_t> dims(rank, 1), strides(rank, c.out_channels);
      dims[1] = c.out_channels, strides[1] = 1;
      v.bias = g.tensor(c.type, dims, strides, c.alignment);
      const int to = next();
      g.pointwise(CUDNN_POINTWISE_ADD, sum, v.bias, to);
      sum = to;
    }
    if (c.residual) v.residual = g.tensor(c.type, y.dims, y.strides, c.alignment);
    auto add_residual = [&] {
      const int to = next();
      g.pointwise(CUDNN_POINTWISE_ADD, sum, v.residual, to);
      sum = to;
    };
    if (c.residual && !c.residual_after) add_residual();
    if (activates) {
      const int to = next();
      add_activation(g, c, sum, to, rank, temporary);
      sum = to;
    }
    if (c.residual && c.residual_after) add_residual();
  }
  CARNOT_ASSIGN(v.plans, g.plans(wish));
  return v;
}

class CudnnPlan final : public ConvolutionPlan {
 public:
  CudnnPlan(const Cudnn& library, const Convolution& c) : library_(library), c_(c) {}

  Status prepare() {
    Convolution inner = c_;
    stage(inner);
    PlanWish wish{.tensor_cores_for_f32 = c_.tf32, .f32 = c_.type == DType::kF32, .choice = c_.choice};
    const bool bare = !c_.bias && !c_.residual && c_.activation == Activation::kNone;
    Status why;
    auto add = [&](bool fused, int most) {
      wish.most = most;
      auto variant = make_variant(library_, inner, fused, wish);
      if (!variant) {
        CARNOT_LOG(3, "cuda", "convolution {}->{} {}x{}x{} {}, {}: {}", c_.in_channels, c_.out_channels, c_.out[0], c_.out[1], c_.out[2], dtype_name(c_.type),
                   fused ? "fused" : "alone", variant.error().message);
        if (why) why = std::move(variant.error());
        return;
      }
      for (size_t i = 0; i < variant->plans.size(); ++i) {
        candidates_.push_back({variants_.size(), i, nullptr});
        workspace_ = std::max(workspace_, variant->plans[i].workspace);
      }
      variants_.push_back(std::move(*variant));
    };
    // An engine that fuses anything but ReLU is compiled on the spot, in some tenths of a second, one of a gradient in seconds.
    const bool compiled = c_.activation != Activation::kNone && c_.activation != Activation::kRelu;
    if (!bare) add(true, c_.transposed ? 1 : compiled ? 2 : 4);
    // Few channels and f32 have many engines whose speed the heuristics cannot tell.
    const int most = wish.f32 ? 8 : bare || variants_.empty() || c_.in_channels < 8 ? 4 : 2;
    if (bare || variants_.empty() || c_.choice < 0) add(false, most);
    if (candidates_.empty() || c_.choice < 0) add_product();
    if (candidates_.empty()) return std::move(why.error());
    if (c_.choice >= 0) candidates_.erase(candidates_.begin() + 1, candidates_.end());
    chosen_ = candidates_.size() == 1 ? 0 : -1;
    return {};
  }

  size_t workspace() const override { return std::max(staged_bytes_ + workspace_, product_bytes_); }

  Status run(CUstream stream, const ConvolutionOperands& o, void* workspace) override {
    int chosen = chosen_.load(std::memory_order_acquire);
    if (chosen < 0) {
      CARNOT_ASSIGN(const bool recording, is_recording(stream));
      // A residual that is overwritten cannot be added several times.
      if (recording || (o.residual && o.residual == o.y)) chosen = 0;
      else CARNOT_RETURN_IF_ERROR(choose(stream, o, workspace));
      if (chosen < 0) chosen = chosen_.load(std::memory_order_acquire);
    }
    return enqueue(static_cast<size_t>(chosen), stream, o, workspace);
  }

 private:
  // cuDNN pads both ends alike. Where that gives the same output it is done; else x is copied into a frame of zeros first, which also
  // takes channels that w has more than x.
  void stage(Convolution& inner) {
    bool needed = inner.weight_channels * inner.groups > inner.in_channels;
    if (!inner.transposed) {
      for (int i = 0; i < 3; ++i) {
        const int64_t extent = (inner.kernel[i] - 1) * inner.dilation[i] + 1;
        const int64_t alike = (inner.in[i] + 2 * inner.before[i] - extent) / inner.stride[i] + 1;
        if (inner.before[i] != inner.after[i] && alike != inner.out[i]) needed = true;
      }
    }
    if (!needed) {
      for (int i = 0; i < 3; ++i) inner.after[i] = inner.before[i];
      return;
    }
    staging_ = {.batch = inner.batch, .channels = inner.in_channels, .out_channels = inner.weight_channels * inner.groups};
    int64_t elements = staging_.batch * staging_.out_channels;
    for (int i = 0; i < 3; ++i) {
      staging_.in[i] = inner.in[i];
      // Zeros that no output reads are left out.
      const int64_t read = (inner.out[i] - 1) * inner.stride[i] + (inner.kernel[i] - 1) * inner.dilation[i] + 1;
      staging_.before[i] = inner.before[i];
      staging_.out[i] = std::max(read, inner.in[i] + inner.before[i]);
      inner.in[i] = staging_.out[i];
      inner.before[i] = inner.after[i] = 0;
      elements *= staging_.out[i];
    }
    staged_bytes_ = (static_cast<size_t>(elements) * dtype_size(c_.type) + 255) / 256 * 256;
  }

  // One tap without steps is a product of pixels and weights, which cuBLASLt has more algorithms for. So is any convolution once what each
  // output pixel reads lies side by side: in f32, where cuDNN's exact engines read NHWC slowly, the copy pays.
  void add_product() {
    if (c_.groups != 1 || c_.transposed || c_.weight_channels != c_.in_channels) return;
    columns_ = {.pixels = c_.batch, .channels = c_.in_channels};
    bool plain = true;
    int64_t taps = 1;
    for (int i = 0; i < 3; ++i) {
      plain = plain && c_.kernel[i] == 1 && c_.stride[i] == 1 && !c_.before[i] && !c_.after[i];
      columns_.in[i] = c_.in[i], columns_.out[i] = c_.out[i], columns_.kernel[i] = c_.kernel[i];
      columns_.stride[i] = c_.stride[i], columns_.dilation[i] = c_.dilation[i], columns_.before[i] = c_.before[i];
      columns_.pixels *= c_.out[i];
      taps *= c_.kernel[i];
    }
    const int64_t pixels = columns_.pixels, depth = taps * c_.in_channels;
    constexpr int64_t kMostColumns = int64_t{64} << 20;  // elements
    // In 16 bits cuDNN is slow where pixels have a few channels only: pictures that are cut into patches.
    const bool odd = c_.type != DType::kF32 && c_.in_channels % 8 != 0 && depth % 8 == 0;
    if (!plain && ((c_.type != DType::kF32 && !odd) || pixels > kMostColumns / depth)) return;
    columns_.element = dtype_size(c_.type);
    columns_bytes_ = plain ? 0 : (static_cast<size_t>(pixels * depth) * columns_.element + 255) / 256 * 256;
    Product p{.type = c_.type, .out_type = c_.type, .tf32 = c_.tf32, .m = pixels, .n = c_.out_channels, .k = depth, .trans_w = true, .alignment = c_.alignment};
    p.lda = p.ldw = depth;
    p.ldd = p.ldr = c_.out_channels;
    p.bias = c_.bias;
    p.residual = c_.residual && !c_.residual_after;
    if (c_.activation == Activation::kRelu) p.epilogue = ProductEpilogue::kRelu;
    if (c_.activation == Activation::kGeluTanh) p.epilogue = ProductEpilogue::kGeluTanh;
    auto plan = ProductPlan::get(p);
    if (!plan) return;
    product_bytes_ = columns_bytes_ + (*plan)->workspace();
    candidates_.push_back({0, 0, std::move(*plan)});
  }

  Status enqueue_product(ProductPlan& plan, CUstream stream, const ConvolutionOperands& o, void* workspace) const {
    const void* before = c_.residual_after ? nullptr : o.residual;
    const void* x = o.x;
    if (columns_bytes_) {
      CARNOT_RETURN_IF_ERROR(launch_columns(stream, o.x, workspace, columns_));
      x = workspace;
      workspace = static_cast<std::byte*>(workspace) + columns_bytes_;
    }
    CARNOT_RETURN_IF_ERROR(plan.run(stream, {x, o.w, o.bias, before, o.y}, workspace));
    const bool activated = c_.activation == Activation::kNone || c_.activation == Activation::kRelu || c_.activation == Activation::kGeluTanh;
    if (activated && !(o.residual && c_.residual_after)) return {};
    return launch_epilogue(stream, c_.type, o.y, nullptr, c_.residual_after ? o.residual : nullptr, elements(), c_.out_channels,
                           {activated ? Activation::kNone : c_.activation, c_.alpha, c_.beta, c_.residual_after});
  }

  int64_t elements() const { return c_.batch * c_.out[0] * c_.out[1] * c_.out[2] * c_.out_channels; }

  Status enqueue(size_t candidate, CUstream stream, const ConvolutionOperands& o, void* workspace) const {
    const Candidate& c = candidates_[candidate];
    if (c.product) return enqueue_product(*c.product, stream, o, workspace);
    const Variant& v = variants_[c.variant];
    const GraphPlan& plan = v.plans[c.plan];
    const void* x = o.x;
    auto* free = static_cast<std::byte*>(workspace);
    if (staged_bytes_) {
      CARNOT_RETURN_IF_ERROR(launch_stage(stream, c_.type, o.x, workspace, staging_));
      x = workspace;
      free += staged_bytes_;
    }
    std::pair<int64_t, void*> addresses[5] = {{v.x, const_cast<void*>(x)}, {v.w, const_cast<void*>(o.w)}, {v.y, o.y}};
    size_t count = 3;
    if (v.bias) addresses[count++] = {v.bias, const_cast<void*>(o.bias)};
    if (v.residual) addresses[count++] = {v.residual, const_cast<void*>(o.residual)};
    CARNOT_RETURN_IF_ERROR(run_plan(library_, stream, plan, {addresses, count}, v.graph->scalars(), free));
    if (v.fused || (!o.bias && !o.residual && c_.activation == Activation::kNone)) return {};
    return launch_epilogue(stream, c_.type, o.y, o.bias, o.residual, elements(), c_.out_channels, {c_.activation, c_.alpha, c_.beta, c_.residual_after});
  }

  Status choose(CUstream stream, const ConvolutionOperands& o, void* workspace) {
    const std::lock_guard lock(mutex_);
    if (chosen_ >= 0) return {};
    // A product chooses among its own algorithms first, which must not happen while it is timed here.
    for (const Candidate& c : candidates_)
      if (c.product) CARNOT_RETURN_IF_ERROR(enqueue_product(*c.product, stream, o, workspace));
    CARNOT_ASSIGN(const Timed timed, fastest(candidates_.size(), stream, [&](size_t i, CUstream s) { return enqueue(i, s, o, workspace); }));
    CARNOT_LOG(2, "cuda", "convolution {}->{} {}x{}x{} kernel {}x{}x{} {}: plan {} of {}{}, {:.2f} us", c_.in_channels, c_.out_channels, c_.out[0], c_.out[1], c_.out[2],
               c_.kernel[0], c_.kernel[1], c_.kernel[2], dtype_name(c_.type), timed.best, candidates_.size(),
               candidates_[timed.best].product ? " (product)" : variants_[candidates_[timed.best].variant].fused ? " (fused)" : "", timed.microseconds);
    chosen_.store(static_cast<int>(timed.best), std::memory_order_release);
    return {};
  }

  const Cudnn& library_;
  const Convolution c_;
  Staging staging_;
  Columns columns_;
  size_t staged_bytes_ = 0, workspace_ = 0, columns_bytes_ = 0, product_bytes_ = 0;
  std::vector<Variant> variants_;
  struct Candidate {
    size_t variant, plan;
    std::shared_ptr<ProductPlan> product;  // instead of a plan of cuDNN
  };
  std::vector<Candidate> candidates_;
  std::atomic<int> chosen_{-1};
  std::mutex mutex_;
};

}  // namespace

Result<std::shared_ptr<ConvolutionPlan>> ConvolutionPlan::get(const Convolution& convolution) {
  static PlanCache<Convolution, ConvolutionPlan> cache;
  return cache.get(convolution, [&]() -> Result<std::shared_ptr<ConvolutionPlan>> {
    CARNOT_ASSIGN(const Cudnn* library, cudnn());
    auto plan = std::make_shared<CudnnPlan>(*library, convolution);
    CARNOT_RETURN_IF_ERROR(plan->prepare());
    return std::shared_ptr<ConvolutionPlan>(std::move(plan));
  });
}

}  // namespace carnot::cuda
