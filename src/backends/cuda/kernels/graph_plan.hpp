// SPDX-License-Identifier: Apache-2.0
// A graph of cuDNN operations under construction, and the plans that cuDNN offers for it.
//
//   Graph g(*library);
//   const int x = g.tensor(type, dims, strides), y = g.tensor(...);
//   const int sum = g.virtual_tensor(...);
//   g.convolution(...);  g.pointwise(CUDNN_POINTWISE_RELU_FWD, sum, -1, y);
//   CARNOT_ASSIGN(auto plans, g.plans(wish));
#pragma once
#include <cuda.h>

#include <deque>
#include <optional>

#include "backends/cuda/libraries/cudnn.hpp"

namespace carnot::cuda {

// An engine with its configuration, ready to run.
struct GraphPlan {
  Descriptor plan;
  size_t workspace = 0;
};

struct PlanWish {
  bool tensor_cores_for_f32 = false;  // tf32
  bool f32 = false;                   // the operands' type
  bool any_engine = false;            // do not ask engines how exact they are
  size_t max_workspace = size_t{256} << 20;
  int most = 4;                       // plans wanted
  int64_t choice = -1;                // only this one of them, if there are so many
};

class Graph {
 public:
  explicit Graph(const Cudnn& library) : library_(library) {}

  // Tensors are numbered from 1. Errors are kept and told by plans().
  int tensor(DType type, std::span<const int64_t> dims, std::span<const int64_t> strides, int alignment = 16);
  int virtual_tensor(cudnnDataType_t type, std::span<const int64_t> dims, std::span<const int64_t> strides);
  int scalar(float value, size_t rank);

  struct Convolution {
    std::span<const int64_t> before, after, strides, dilations;
  };
  // y = x * w, or transposed: the gradient, dx = y from dy = x.
  void convolution(const Convolution& c, bool transposed, int x, int w, int y);
  // y = softmax(scale * q @ k^T) @ v as one operation, all [batch, heads, positions, size].
  void attention(int q, int k, int v, int scale, int y);
  struct PointwiseOptions {
    std::optional<double> lower, upper, slope, swish_beta;
  };
  // y = op(x), or op(x, b) for b > 0.
  void pointwise(cudnnPointwiseMode_t op, int x, int b, int y, const PointwiseOptions& options);
  void pointwise(cudnnPointwiseMode_t op, int x, int b, int y) { pointwise(op, x, b, y, {}); }

  // In the order of the heuristics. kUnsupported if there is none.
  Result<std::vector<GraphPlan>> plans(const PlanWish& wish);
  // By number; run_plan() wants them besides the tensors' addresses.
  using Scalars = std::vector<std::pair<int64_t, float>>;
  const Scalars& scalars() const { return scalars_; }

 private:
  int add_tensor(Descriptor&& d, int uid);
  void add_operation(Descriptor&& d, std::string_view what);
  void keep(Status status);
  Descriptor& at(int tensor) { return tensors_[static_cast<size_t>(tensor - 1)]; }

  const Cudnn& library_;
  std::deque<Descriptor> tensors_, operators_, operations_;
  Descriptor graph_;
  Scalars scalars_;
  Status status_;
};

// Enqueues a plan; `addresses`: of the tensors by number.
Status run_plan(const Cudnn& library, CUstream stream, const GraphPlan& plan, std::span<const std::pair<int64_t, void*>> addresses,
                const Graph::Scalars& scalars, void* workspace);

}  // namespace carnot::cuda
