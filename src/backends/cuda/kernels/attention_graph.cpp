// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/attention_graph.hpp"

#include <array>
#include <limits>

#include "backends/cuda/kernels/graph_plan.hpp"
#include "backends/cuda/kernels/plan_cache.hpp"

namespace carnot::cuda {
namespace {

using Four = std::array<int64_t, 4>;

class CudnnAttention final : public AttentionGraph {
 public:
  explicit CudnnAttention(const Cudnn& library) : library_(library), graph_(library) {}

  Status prepare(const Attention& a) {
    const HeadLayout &q = a.q, &k = a.k, &v = a.v, &y = a.y;
    Graph& g = graph_;
    CARNOT_ASSIGN(const cudnnDataType_t type, cudnn_type(a.type));
    q_ = g.tensor(a.type, Four{q.batch, q.heads, q.length, q.size}, Four{q.batch_step, q.head_step, q.row_step, q.column_step});
    k_ = g.tensor(a.type, Four{k.batch, k.heads, k.size, k.length}, Four{k.batch_step, k.head_step, k.column_step, k.row_step});
    v_ = g.tensor(a.type, Four{v.batch, v.heads, v.length, v.size}, Four{v.batch_step, v.head_step, v.row_step, v.column_step});
    y_ = g.tensor(a.type, Four{y.batch, y.heads, y.length, y.size}, Four{y.batch_step, y.head_step, y.row_step, y.column_step});
    const Four all{q.batch, q.heads, q.length, k.length}, all_steps{q.heads * q.length * k.length, q.length * k.length, k.length, 1};
    const Four row{q.batch, q.heads, q.length, 1}, row_steps{q.heads * q.length, q.length, 1, 1};
    auto matrix = [&](cudnnDataType_t t = CUDNN_DATA_FLOAT) { return g.virtual_tensor(t, all, all_steps); };
    auto column = [&] { return g.virtual_tensor(CUDNN_DATA_FLOAT, row, row_steps); };
    // The order of operations is the one that cuDNN recognises as attention.
    int scores = matrix();
    g.matmul(q_, k_, scores);
    const int scaled = matrix();
    g.pointwise(CUDNN_POINTWISE_MUL, scores, g.scalar(static_cast<float>(a.scale), 4), scaled);
    scores = scaled;
    if (a.mask != DType::kInvalid) scores = add_mask(a, scores, matrix());
    if (a.causal) scores = add_causal(a, scores, matrix);
    const int top = column(), shifted = matrix(), powers = matrix(), sum = column(), weights = matrix(type);
    g.reduction(CUDNN_REDUCE_TENSOR_MAX, scores, top);
    g.pointwise(CUDNN_POINTWISE_SUB, scores, top, shifted);
    g.pointwise(CUDNN_POINTWISE_EXP, shifted, 0, powers);
    g.reduction(CUDNN_REDUCE_TENSOR_ADD, powers, sum);
    g.pointwise(CUDNN_POINTWISE_DIV, powers, sum, weights);
    g.matmul(weights, v_, y_);
    CARNOT_ASSIGN(auto plans, g.plans({.any_engine = true, .most = 1}));
    plan_ = std::move(plans[0]);
    return {};
  }

  size_t workspace() const override { return plan_.workspace; }

  Status run(CUstream stream, const void* q, const void* k, const void* v, const void* mask, void* y, void* workspace) const override {
    std::pair<int64_t, void*> addresses[5] = {{q_, const_cast<void*>(q)}, {k_, const_cast<void*>(k)}, {v_, const_cast<void*>(v)}, {y_, y}, {mask_, const_cast<void*>(mask)}};
    return run_plan(library_, stream, plan_, {addresses, mask_ ? size_t{5} : size_t{4}}, graph_.scalars(), workspace);
  }

 private:
  int add_mask(const Attention& a, int scores, int to) {
    const Four wanted{a.q.batch, a.q.heads, a.q.length, a.k.length};
    Four dims, steps;
    // A step must be told for axes of one element, too.
    int64_t step = 1;
    for (size_t i = 4; i-- > 0;) {
      dims[i] = a.mask_steps[i] ? wanted[i] : 1;
      steps[i] = a.mask_steps[i] ? a.mask_steps[i] : step;
      step = std::max(step, steps[i] * dims[i]);
    }
    mask_ = graph_.tensor(a.mask, dims, steps);
    graph_.pointwise(CUDNN_POINTWISE_ADD, scores, mask_, to);
    return to;
  }

  template <typename Matrix>
  int add_causal(const Attention& a, int scores, Matrix&& matrix) {
    int query = matrix(CUDNN_DATA_INT32);
    const int key = matrix(CUDNN_DATA_INT32), sees = matrix(CUDNN_DATA_BOOLEAN), masked = matrix();
    graph_.pointwise(CUDNN_POINTWISE_GEN_INDEX, scores, 0, query, {.axis = 2});
    graph_.pointwise(CUDNN_POINTWISE_GEN_INDEX, scores, 0, key, {.axis = 3});
    if (a.causal_shift) {
      const int moved = matrix(CUDNN_DATA_INT32);
      graph_.pointwise(CUDNN_POINTWISE_ADD, query, graph_.integer(static_cast<int32_t>(a.causal_shift), 4), moved, {.math = CUDNN_DATA_INT32});
      query = moved;
    }
    graph_.pointwise(CUDNN_POINTWISE_CMP_GE, query, key, sees, {.math = CUDNN_DATA_BOOLEAN});
    graph_.pointwise(CUDNN_POINTWISE_BINARY_SELECT, scores, graph_.scalar(-std::numeric_limits<float>::infinity(), 4), masked, {.select = sees});
    return masked;
  }

  const Cudnn& library_;
  Graph graph_;
  GraphPlan plan_;
  int q_ = 0, k_ = 0, v_ = 0, y_ = 0, mask_ = 0;
};

}  // namespace

Result<std::shared_ptr<AttentionGraph>> AttentionGraph::get(Attention a) {
  if (a.q.column_step != 1 || a.k.column_step != 1 || a.v.column_step != 1 || a.y.column_step != 1)
    return fail(Code::kUnsupported, "cuDNN's attention wants the elements of a head to adjoin");
  if (a.q.size % 8 || a.v.size % 8 || a.q.size > 256 || a.v.size > 256)
    return fail(Code::kUnsupported, "cuDNN's attention takes heads of 8, 16 ... 256 elements, not {} and {}", a.q.size, a.v.size);
  CARNOT_ASSIGN(const Cudnn* library, cudnn());
  const size_t version = library->cudnnGetVersion();
  if (version == 91000 || version == 91001) return fail(Code::kUnsupported, "cuDNN 9.10.0 and 9.10.1 compute attention wrongly: update it");
  for (HeadLayout* layout : {&a.q, &a.k, &a.v, &a.y}) layout->offset = 0;
  static PlanCache<Attention, AttentionGraph> cache;
  return cache.get(a, [&]() -> Result<std::shared_ptr<AttentionGraph>> {
    auto attention = std::make_shared<CudnnAttention>(*library);
    CARNOT_RETURN_IF_ERROR(attention->prepare(a));
    return std::shared_ptr<AttentionGraph>(std::move(attention));
  });
}

}  // namespace carnot::cuda
