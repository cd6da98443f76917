// SPDX-License-Identifier: Apache-2.0
#include "ops/sdpa.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/support_norm.hpp"

namespace carnot::ops {

namespace {

constexpr std::string_view kAxes = "bhsd";

bool is_layout(std::string layout) {
  std::sort(layout.begin(), layout.end());
  return layout == "bdhs";
}

// The shape in the order b, h, s, d.
template <typename List>
List in_order(const List& shape, std::string_view layout) {
  List out;
  for (char axis : kAxes) out.push_back(shape[layout.find(axis)]);
  return out;
}

template <typename List>
List in_layout(const List& bhsd, std::string_view layout) {
  List out;
  for (char axis : layout) out.push_back(bhsd[kAxes.find(axis)]);
  return out;
}

bool agree(const Dim& a, const Dim& b) { return !a.is_constant() || !b.is_constant() || a == b; }

// An operand's elements by (batch, head, position, column).
struct Heads {
  std::vector<double> data;
  Dims dims;           // b, h, s, d
  int64_t strides[4];  // likewise
  int64_t first;
  Heads(std::vector<double> values, const Dims& stored, std::string_view layout, int64_t first_head)
      : data(std::move(values)), dims(in_order(stored, layout)), first(first_head) {
    int64_t stride = 1;
    for (size_t i = 4; i-- > 0;) {
      strides[kAxes.find(layout[i])] = stride;
      stride *= stored[i];
    }
  }
  double& at(int64_t b, int64_t h, int64_t s, int64_t d) {
    return data[static_cast<size_t>((dims[0] == 1 ? 0 : b) * strides[0] + (first + h) * strides[1] + s * strides[2] +
                                    d * strides[3])];
  }
};

}  // namespace

Result<Facts> Sdpa::infer(const InferCtx& ctx) const {
  if (heads < 1 || kv_heads < 1 || heads % kv_heads != 0)
    return invalid("{} query heads are no multiple of {} key heads", heads, kv_heads);
  if (causal != "none" && causal != "top" && causal != "bottom")
    return invalid("attribute 'causal' is '{}'; it must be none, top or bottom", causal);
  const std::string* layouts[] = {&q_layout, &k_layout, &v_layout, &y_layout};
  const int64_t firsts[] = {q_first, k_first, v_first};
  for (const std::string* layout : layouts)
    if (!is_layout(*layout)) return invalid("layout '{}' is no order of b, h, s, d", *layout);
  Shape shapes[3];
  for (size_t i = 0; i < 3; ++i) {
    CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, i));
    CARNOT_RETURN_IF_ERROR(expect_rank(ctx, info, i, 4));
    shapes[i] = in_order(ctx.shape(i), *layouts[i]);
    const int64_t count = i == 0 ? heads : kv_heads;
    const Dim& there = shapes[i][1];
    if (firsts[i] < 0 || (there.is_constant() && (count > there.value() || firsts[i] > there.value() - count)))
      return invalid("{} has {} heads, heads {} to {} are asked for", operand(info, i), there.str(), firsts[i],
                     firsts[i] + count - 1);
  }
  const auto& [q, k, v] = shapes;
  if (!agree(q[3], k[3]))
    return invalid("{} has heads of size {}, {} of size {}", operand(info, 0), q[3].str(), operand(info, 1),
                   k[3].str());
  if (!agree(k[2], v[2]))
    return invalid("{} has {} positions, {} has {}", operand(info, 1), k[2].str(), operand(info, 2), v[2].str());
  for (size_t i : {1, 2})
    if (!shapes[i][0].is(1) && !agree(q[0], shapes[i][0]))
      return invalid("{} has a batch of {}, 'q' of {}", operand(info, i), shapes[i][0].str(), q[0].str());
  if (ctx.has(3)) {
    if (ctx.dtype(3) != DType::kBool) CARNOT_RETURN_IF_ERROR(expect_float(ctx, info, 3));
    const Shape scores{q[0], heads, q[2], k[2]};
    const Shape& mask = ctx.shape(3);
    bool good = mask.size() <= 4;
    for (size_t i = 0; good && i < mask.size(); ++i) {
      const size_t axis = i + 4 - mask.size();
      const Dim &m = mask[i], &s = scores[axis];
      if (m.is(1) || agree(m, s)) continue;
      good = axis == 0 && m.value() > 0 && s.value() % m.value() == 0;
    }
    if (!good) return invalid("{} has shape {}, the scores {}", operand(info, 3), to_string(mask), to_string(scores));
  }
  return Facts{{ctx.dtype(0), in_layout(Shape{q[0], heads, q[2], v[3]}, y_layout)}};
}

Status Sdpa::evaluate(EvalCtx& ctx) const {
  CARNOT_ASSIGN(auto q_data, to_doubles(ctx.in[0]));
  CARNOT_ASSIGN(auto k_data, to_doubles(ctx.in[1]));
  CARNOT_ASSIGN(auto v_data, to_doubles(ctx.in[2]));
  Heads q(std::move(q_data), ctx.in[0].dims, q_layout, q_first),
      k(std::move(k_data), ctx.in[1].dims, k_layout, k_first);
  Heads v(std::move(v_data), ctx.in[2].dims, v_layout, v_first);
  const Dims out{q.dims[0], heads, q.dims[2], v.dims[3]};
  Heads y(std::vector<double>(static_cast<size_t>(size_of(out))), in_layout(out, y_layout), y_layout, 0);
  const int64_t keys = k.dims[2];
  const double minus_inf = -std::numeric_limits<double>::infinity();

  std::vector<double> mask;
  int64_t mask_batches = 1;
  const bool replaces = ctx.has(3) && ctx.in[3].dtype == DType::kBool;
  if (ctx.has(3)) {
    if (ctx.in[3].rank() == 4) mask_batches = ctx.in[3].dims[0];
    CARNOT_ASSIGN(mask, broadcast_doubles(ctx.in[3], {mask_batches, heads, q.dims[2], keys}));
  }
  std::vector<double> weights(static_cast<size_t>(keys));
  for (int64_t b = 0; b < out[0]; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < out[2]; ++i) {
        const int64_t kv = h / (heads / kv_heads),
                      seen = causal == "none" ? keys : i + 1 + (causal == "top" ? 0 : keys - out[2]);
        double most = minus_inf, sum = 0;
        for (int64_t j = 0; j < keys; ++j) {
          double s = 0;
          for (int64_t d = 0; d < q.dims[3]; ++d) s += q.at(b, h, i, d) * k.at(b, kv, j, d);
          s *= scale;
          if (!mask.empty()) {
            const double m = mask[static_cast<size_t>(((b % mask_batches * heads + h) * out[2] + i) * keys + j)];
            s = !replaces ? s + m : m != 0 ? s : fill.value_or(minus_inf);
          }
          if (j >= seen) s = minus_inf;
          weights[static_cast<size_t>(j)] = s;
          most = std::fmax(most, s);
        }
        for (double& w : weights) sum += w = std::exp(w - most);
        if (zero_nan && std::isnan(sum)) continue;
        for (int64_t j = 0; j < keys; ++j)
          for (int64_t d = 0; d < out[3]; ++d)
            y.at(b, h, i, d) += weights[static_cast<size_t>(j)] / sum * v.at(b, kv, j, d);
      }
  store(ctx.out[0], y.data);
  return {};
}

CARNOT_DEFINE_OPS(sdpa, Sdpa)

}  // namespace carnot::ops
