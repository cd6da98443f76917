// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "backends/cuda/kernels/product.hpp"

namespace carnot::cuda {

int BatchAxis::alignment(int most, size_t in_element, size_t out_element) const {
  const auto in = static_cast<int64_t>(in_element), out = static_cast<int64_t>(out_element);
  while (most > 1 && (a * in % most || w * in % most || d * out % most)) most /= 2;
  return most;
}

std::vector<BatchAxis> join_batches(std::vector<BatchAxis> axes, Product& p) {
  std::erase_if(axes, [](const BatchAxis& axis) { return axis.n == 1; });
  while (!axes.empty() && axes[0].w == 0 && axes[0].a == p.m * p.lda && axes[0].d == p.m * p.ldd && !p.trans_a) {
    p.m *= axes[0].n;
    axes.erase(axes.begin());
  }
  for (size_t i = 0; i + 1 < axes.size();) {
    BatchAxis &inner = axes[i], &outer = axes[i + 1];
    if (outer.a == inner.a * inner.n && outer.w == inner.w * inner.n && outer.d == inner.d * inner.n) {
      inner.n *= outer.n;
      axes.erase(axes.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    } else {
      ++i;
    }
  }
  const auto largest = std::max_element(axes.begin(), axes.end(), [](const BatchAxis& x, const BatchAxis& y) { return x.n < y.n; });
  if (largest != axes.end()) {
    p.batch = largest->n, p.step_a = largest->a, p.step_w = largest->w, p.step_d = p.step_r = largest->d;
    axes.erase(largest);
  }
  return axes;
}

Status run_batches(ProductPlan& plan, const std::vector<BatchAxis>& loop, size_t in_element, size_t out_element, CUstream stream,
                   const ProductOperands& o, void* workspace) {
  int64_t count = 1;
  for (const BatchAxis& axis : loop) count *= axis.n;
  const auto in = static_cast<int64_t>(in_element), out = static_cast<int64_t>(out_element);
  for (int64_t i = 0; i < count; ++i) {
    int64_t a = 0, w = 0, d = 0, rest = i;
    for (const BatchAxis& axis : loop) {
      const int64_t at = rest % axis.n;
      rest /= axis.n;
      a += at * axis.a, w += at * axis.w, d += at * axis.d;
    }
    auto moved = [](const void* p, int64_t bytes) { return p ? static_cast<const std::byte*>(p) + bytes : nullptr; };
    CARNOT_RETURN_IF_ERROR(plan.run(stream, {moved(o.a, a * in), moved(o.w, w * in), o.bias, moved(o.residual, d * out), static_cast<std::byte*>(o.d) + d * out}, workspace));
  }
  return {};
}

}  // namespace carnot::cuda
