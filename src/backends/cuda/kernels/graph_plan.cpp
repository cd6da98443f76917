// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/graph_plan.hpp"

#include <algorithm>

#include "base/log.hpp"

namespace carnot::cuda {

void Graph::keep(Status status) {
  if (status_ && !status) status_ = std::move(status);
}

int Graph::add_tensor(Descriptor&& d, int uid) {
  d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, int64_t{uid});
  keep(d.finish("a tensor of cuDNN"));
  tensors_.push_back(std::move(d));
  return uid;
}

int Graph::tensor(DType type, std::span<const int64_t> dims, std::span<const int64_t> strides, int alignment) {
  Descriptor d(library_, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  auto t = cudnn_type(type);
  if (!t) keep(t.error());
  else d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, *t);
  d.set(CUDNN_ATTR_TENSOR_DIMENSIONS, dims).set(CUDNN_ATTR_TENSOR_STRIDES, strides).set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, int64_t{alignment});
  return add_tensor(std::move(d), static_cast<int>(tensors_.size()) + 1);
}

int Graph::virtual_tensor(cudnnDataType_t type, std::span<const int64_t> dims, std::span<const int64_t> strides) {
  Descriptor d(library_, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type).set(CUDNN_ATTR_TENSOR_DIMENSIONS, dims).set(CUDNN_ATTR_TENSOR_STRIDES, strides);
  d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, int64_t{16}).set_bool(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true);
  return add_tensor(std::move(d), static_cast<int>(tensors_.size()) + 1);
}

namespace {
Descriptor by_value(const Cudnn& library, cudnnDataType_t type, size_t rank) {
  const std::vector<int64_t> ones(rank, 1);
  Descriptor d(library, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, type).set(CUDNN_ATTR_TENSOR_DIMENSIONS, ones).set(CUDNN_ATTR_TENSOR_STRIDES, ones);
  d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, int64_t{16}).set_bool(CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
  return d;
}
}  // namespace

int Graph::scalar(float value, size_t rank) {
  const int uid = add_tensor(by_value(library_, CUDNN_DATA_FLOAT, rank), static_cast<int>(tensors_.size()) + 1);
  scalars_.emplace_back(uid, value);
  return uid;
}

void Graph::add_operation(Descriptor&& d, std::string_view what) {
  keep(d.finish(what));
  operations_.push_back(std::move(d));
}

void Graph::convolution(const Convolution& c, bool transposed, int x, int w, int y) {
  Descriptor conv(library_, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  conv.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT).set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  conv.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, static_cast<int64_t>(c.strides.size())).set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, c.before);
  conv.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, c.after).set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, c.strides).set(CUDNN_ATTR_CONVOLUTION_DILATIONS, c.dilations);
  keep(conv.finish("a convolution of cuDNN"));
  // Some engines read these as the type of the computation whatever type they were told as.
  const float alpha = 1, beta = 0;
  if (transposed) {
    Descriptor op(library_, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, at(x)).set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, at(w));
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, at(y)).set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, conv);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_TYPE_FLOAT, 1, &alpha).set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, CUDNN_TYPE_FLOAT, 1, &beta);
    add_operation(std::move(op), "a transposed convolution of cuDNN");
  } else {
    Descriptor op(library_, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, at(x)).set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, at(w));
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, at(y)).set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, conv);
    op.set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &alpha).set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &beta);
    add_operation(std::move(op), "a convolution of cuDNN");
  }
  operators_.push_back(std::move(conv));
}

void Graph::attention(int q, int k, int v, int scale, int y) {
  Descriptor op(library_, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR);
  op.set(CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, at(q)).set(CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, at(k)).set(CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, at(v));
  op.set(CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, at(y)).set(CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, at(scale));
  add_operation(std::move(op), "attention of cuDNN");
}

void Graph::pointwise(cudnnPointwiseMode_t kind, int x, int b, int y, const PointwiseOptions& options) {
  Descriptor pw(library_, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  pw.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &kind).set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT);
  if (options.lower) pw.set_double(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, *options.lower);
  if (options.upper) pw.set_double(CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, *options.upper);
  if (options.slope) pw.set_double(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, *options.slope);
  if (options.swish_beta) pw.set_double(CUDNN_ATTR_POINTWISE_SWISH_BETA, *options.swish_beta);
  keep(pw.finish("an element-wise operation of cuDNN"));
  Descriptor op(library_, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  op.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pw).set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, at(x));
  if (b > 0) op.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, at(b));
  op.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, at(y));
  add_operation(std::move(op), "an element-wise operation of cuDNN");
  operators_.push_back(std::move(pw));
}

namespace {

// Whether the engine computes as exactly as was asked: f32 without tensor cores and shortened operands, sums in f32, the same result every time.
bool is_exact_enough(const Descriptor& config, const PlanWish& wish) {
  for (const Descriptor& engine : config.descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1))
    for (const auto note : engine.values<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT)) {
      if (note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC || note == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION) return false;
      if (note == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6 || note == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13 || note == CUDNN_NUMERICAL_NOTE_FFT) return false;
      if (wish.f32 && (note == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS || note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE) && !wish.tensor_cores_for_f32) return false;
      if (!wish.f32 && note == CUDNN_NUMERICAL_NOTE_WINOGRAD) return false;
    }
  return true;
}

}  // namespace

Result<std::vector<GraphPlan>> Graph::plans(const PlanWish& wish) {
  if (!status_) return status_.error();
  CARNOT_ASSIGN(const HandleLease lease, HandleLease::take());
  const cudnnHandle_t handle = lease.get();
  graph_ = Descriptor(library_, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  std::vector<cudnnBackendDescriptor_t> operations;
  for (const Descriptor& op : operations_) operations.push_back(op.get());
  graph_.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle);
  graph_.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<int64_t>(operations.size()), operations.data());
  CARNOT_RETURN_IF_ERROR(graph_.finish("a graph of cuDNN"));

  std::vector<GraphPlan> plans;
  Status last = fail(Code::kUnsupported, "cuDNN offers no engine for this graph");
  int seen = 0;
  const int wanted = wish.choice >= 0 ? static_cast<int>(std::min<int64_t>(wish.choice, 15)) + 1 : wish.most;
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK}) {
    // The modes know much the same engines: the next one is for graphs for which the last found little.
    if (!plans.empty() && (mode == CUDNN_HEUR_MODE_FALLBACK || (plans.size() >= 2 && !wish.f32))) break;
    Descriptor heuristics(library_, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph_).set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (Status status = heuristics.finish("heuristics of cuDNN"); !status) {
      last = std::move(status);
      continue;
    }
    for (Descriptor& config : heuristics.descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, 24)) {
      if (static_cast<int>(plans.size()) >= wanted) break;
      ++seen;
      if (!wish.any_engine && !is_exact_enough(config, wish)) continue;
      GraphPlan plan{Descriptor(library_, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)};
      plan.plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle).set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
      if (Status status = plan.plan.finish("a plan of cuDNN"); !status) {
        last = std::move(status);
        continue;
      }
      const auto bytes = plan.plan.values<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1);
      plan.workspace = bytes.empty() ? 0 : static_cast<size_t>(bytes[0]);
      if (plan.workspace <= wish.max_workspace) plans.push_back(std::move(plan));
    }
  }
  if (plans.empty()) {
    CARNOT_LOG(3, "cuda", "cuDNN named {} engines, none of them usable", seen);
    if (last.error().code != Code::kOutOfMemory) last.error().code = Code::kUnsupported;
    return std::move(last.error());
  }
  if (wish.choice >= 0) {
    const size_t pick = std::min(plans.size() - 1, static_cast<size_t>(wish.choice));
    std::swap(plans[0], plans[pick]);
    plans.erase(plans.begin() + 1, plans.end());
  }
  return plans;
}

Status run_plan(const Cudnn& library, CUstream stream, const GraphPlan& plan, std::span<const std::pair<int64_t, void*>> addresses,
                const Graph::Scalars& scalars, void* workspace) {
  std::vector<int64_t> numbers;
  std::vector<void*> pointers;
  for (const auto& [number, pointer] : addresses) numbers.push_back(number), pointers.push_back(pointer);
  for (const auto& [number, value] : scalars) numbers.push_back(number), pointers.push_back(const_cast<float*>(&value));
  Descriptor pack(library, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, numbers);
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, static_cast<int64_t>(pointers.size()), pointers.data());
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  CARNOT_RETURN_IF_ERROR(pack.finish("operands of cuDNN"));
  CARNOT_ASSIGN(const HandleLease lease, HandleLease::take());
  CARNOT_RETURN_IF_ERROR(check(library.cudnnSetStream(lease.get(), reinterpret_cast<cudaStream_t>(stream)), "cuDNN's stream"));
  return check(library.cudnnBackendExecute(lease.get(), plan.plan.get(), pack.get()), "running cuDNN");
}

}  // namespace carnot::cuda
