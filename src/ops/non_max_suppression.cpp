// SPDX-License-Identifier: Apache-2.0
#include "ops/non_max_suppression.hpp"

#include <algorithm>
#include <cmath>

namespace carnot::ops {

namespace {

struct Box {
  float top, left, bottom, right;
  float area() const { return (bottom - top) * (right - left); }
};

Box read_box(const float* p, bool center) {
  if (center) return {p[1] - p[3] / 2, p[0] - p[2] / 2, p[1] + p[3] / 2, p[0] + p[2] / 2};
  return {std::min(p[0], p[2]), std::min(p[1], p[3]), std::max(p[0], p[2]), std::max(p[1], p[3])};
}

bool overlaps(const Box& a, const Box& b, float threshold) {
  const float height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  const float width = std::min(a.right, b.right) - std::max(a.left, b.left);
  if (height <= 0 || width <= 0) return false;
  if (a.area() <= 0 || b.area() <= 0) return false;
  const float both = height * width;
  return both / (a.area() + b.area() - both) > threshold;
}

// The boxes picked so far, by horizontal strip: two boxes can only overlap where both lie in one strip. Detectors that move the boxes of
// each class to a place of their own pass tens of thousands of boxes that hardly ever meet.
class Strips {
 public:
  Strips(const std::vector<Box>& candidates) {
    double low = 0, high = 0, heights = 0;
    for (const Box& b : candidates) {
      if (!std::isfinite(b.top) || !std::isfinite(b.bottom)) continue;
      low = std::min<double>(low, b.top);
      high = std::max<double>(high, b.bottom);
      heights += static_cast<double>(b.bottom) - b.top;
    }
    low_ = low;
    // No lower than the mean box, so that a box lies in two strips on average and memory stays that of the boxes.
    const double fitting = heights > 0 ? (high - low) * static_cast<double>(candidates.size()) / heights : 1;
    strips_.resize(static_cast<size_t>(std::clamp(std::min(fitting, static_cast<double>(candidates.size()) / 2), 1.0, 4096.0)));
    per_unit_ = high > low ? static_cast<double>(strips_.size()) / (high - low) : 0;
  }
  bool any_overlap(const Box& box, float threshold) const {
    for (size_t i = strip_of(box.top), last = strip_of(box.bottom); i <= last; ++i)
      for (const Box& other : strips_[i])
        if (overlaps(box, other, threshold)) return true;
    return false;
  }
  void add(const Box& box) {
    for (size_t i = strip_of(box.top), last = strip_of(box.bottom); i <= last; ++i) strips_[i].push_back(box);
  }

 private:
  // Grows with y, so a shared y means a shared strip; what is no number goes to the first.
  size_t strip_of(double y) const {
    const double at = (y - low_) * per_unit_;
    if (!(at > 0)) return 0;
    return at >= static_cast<double>(strips_.size()) ? strips_.size() - 1 : static_cast<size_t>(at);
  }
  std::vector<std::vector<Box>> strips_;
  double low_ = 0, per_unit_ = 0;
};

template <typename T>
Result<T> scalar_or(EvalCtx& ctx, size_t i, T otherwise, DType dtype) {
  if (!ctx.has(i) || ctx.in[i].size() == 0) return otherwise;
  if (ctx.in[i].dtype != dtype || ctx.in[i].size() != 1) return invalid("input {} must be one {}", i, dtype_name(dtype));
  return *ctx.in[i].as<T>();
}

}  // namespace

Result<Facts> NonMaxSuppression::infer(const InferCtx& ctx) const {
  if (ctx.rank(0) != 3 || !(ctx.shape(0)[2].is(4) || !ctx.shape(0)[2].is_constant())) return invalid("input 0 ('boxes') must have shape [batch, n, 4], got {}", to_string(ctx.shape(0)));
  if (ctx.rank(1) != 3) return invalid("input 1 ('scores') must have shape [batch, classes, n], got {}", to_string(ctx.shape(1)));
  if (ctx.dtype(0) != DType::kF32 || ctx.dtype(1) != DType::kF32) return invalid("boxes and scores must be f32");
  return Facts{{DType::kI64, {ctx.fresh("boxes"), Dim(3)}}};
}

Status NonMaxSuppression::evaluate(EvalCtx& ctx) const {
  const TensorView &boxes = ctx.in[0], &scores = ctx.in[1];
  const int64_t batches = scores.dims[0], classes = scores.dims[1], n = scores.dims[2];
  if (boxes.dims[0] != batches || boxes.dims[1] != n || boxes.dims[2] != 4)
    return invalid("boxes of shape {} do not fit scores of shape {}", to_string(boxes.dims), to_string(scores.dims));
  CARNOT_ASSIGN(const int64_t most, scalar_or<int64_t>(ctx, 2, 0, DType::kI64));
  CARNOT_ASSIGN(const float iou, scalar_or<float>(ctx, 3, 0.0f, DType::kF32));
  const bool filtered = ctx.has(4) && ctx.in[4].size() > 0;
  CARNOT_ASSIGN(const float least, scalar_or<float>(ctx, 4, 0.0f, DType::kF32));
  if (!(iou >= 0 && iou <= 1)) return invalid("input 3 ('iou_threshold') is {}, outside [0, 1]", iou);
  std::vector<int64_t> picked;
  for (int64_t b = 0; b < batches && most > 0; ++b)
    for (int64_t c = 0; c < classes; ++c) {
      const float* score = scores.as<float>() + (b * classes + c) * n;
      std::vector<int64_t> order;
      for (int64_t i = 0; i < n; ++i)
        if (!filtered || score[i] > least) order.push_back(i);
      std::stable_sort(order.begin(), order.end(), [&](int64_t p, int64_t q) { return score[p] > score[q]; });
      std::vector<Box> candidates;
      for (int64_t i : order) candidates.push_back(read_box(boxes.as<float>() + (b * n + i) * 4, center_point_box != 0));
      Strips kept(candidates);
      int64_t count = 0;
      for (size_t k = 0; k < order.size() && count < most; ++k) {
        if (kept.any_overlap(candidates[k], iou)) continue;
        kept.add(candidates[k]);
        ++count;
        picked.insert(picked.end(), {b, c, order[k]});
      }
    }
  CARNOT_RETURN_IF_ERROR(ctx.allocate(0, {static_cast<int64_t>(picked.size() / 3), 3}));
  std::copy(picked.begin(), picked.end(), ctx.out[0].as<int64_t>());
  return {};
}

CARNOT_DEFINE_OPS(non_max_suppression, NonMaxSuppression)

}  // namespace carnot::ops
