// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/attention_graph.hpp"

#include <array>

#include "backends/cuda/kernels/graph_plan.hpp"
#include "backends/cuda/kernels/plan_cache.hpp"

namespace carnot::cuda {
namespace {

using Four = std::array<int64_t, 4>;

class CudnnAttention final : public AttentionGraph {
 public:
  explicit CudnnAttention(const Cudnn& library) : library_(library), graph_(library) {}

  Status prepare(const Attention& a) {
    auto tensor = [&](const HeadLayout& l) {
      return graph_.tensor(a.type, Four{l.batch, l.heads, l.length, l.size}, Four{l.batch_step, l.head_step, l.row_step, l.column_step});
    };
    q_ = tensor(a.q), k_ = tensor(a.k), v_ = tensor(a.v), y_ = tensor(a.y);
    graph_.attention(q_, k_, v_, graph_.scalar(static_cast<float>(a.scale), 1), y_);
    CARNOT_ASSIGN(auto plans, graph_.plans({.any_engine = true, .most = 1}));
    plan_ = std::move(plans[0]);
    return {};
  }

  size_t workspace() const override { return plan_.workspace; }

  Status run(CUstream stream, const void* q, const void* k, const void* v, void* y, void* workspace) const override {
    const std::pair<int64_t, void*> addresses[] = {{q_, const_cast<void*>(q)}, {k_, const_cast<void*>(k)}, {v_, const_cast<void*>(v)}, {y_, y}};
    return run_plan(library_, stream, plan_, addresses, graph_.scalars(), workspace);
  }

 private:
  const Cudnn& library_;
  Graph graph_;
  GraphPlan plan_;
  int q_ = 0, k_ = 0, v_ = 0, y_ = 0;
};

}  // namespace

Result<std::shared_ptr<AttentionGraph>> AttentionGraph::get(Attention a) {
  if (a.q.column_step != 1 || a.k.column_step != 1 || a.v.column_step != 1 || a.y.column_step != 1)
    return fail(Code::kUnsupported, "cuDNN's attention wants the elements of a head to adjoin");
  if (a.q.size % 8 || a.v.size % 8 || a.q.size > 256 || a.v.size > 256)
    return fail(Code::kUnsupported, "cuDNN's attention takes heads of 8, 16 ... 256 elements, not {} and {}", a.q.size, a.v.size);
  CARNOT_ASSIGN(const Cudnn* library, cudnn());
  // The operation is new in 9.13.1; as a graph of products and reductions no engine was offered.
  if (library->cudnnGetVersion() < 91301) return fail(Code::kUnsupported, "cuDNN {} does not know attention as one operation; 9.13.1 does", library->cudnnGetVersion());
  for (HeadLayout* layout : {&a.q, &a.k, &a.v, &a.y}) layout->offset = 0;
  static PlanCache<Attention, AttentionGraph> cache;
  return cache.get(a, [&]() -> Result<std::shared_ptr<AttentionGraph>> {
    auto attention = std::make_shared<CudnnAttention>(*library);
    CARNOT_RETURN_IF_ERROR(attention->prepare(a));
    return std::shared_ptr<AttentionGraph>(std::move(attention));
  });
}

}  // namespace carnot::cuda
