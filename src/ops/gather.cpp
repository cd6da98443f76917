// SPDX-License-Identifier: Apache-2.0
#include "ops/gather.hpp"

namespace carnot::ops {

Result<Facts> Gather::infer(const InferCtx& ctx) const {
  if (!is_integer(ctx.dtype(1))) return invalid("input 1 ('indices') must be an integer tensor, got {}", dtype_name(ctx.dtype(1)));
  const Shape& data = ctx.shape(0);
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, data.size()));
  ValueFacts out{ctx.dtype(0), Shape(data.begin(), data.begin() + a)};
  out.shape.insert(out.shape.end(), ctx.shape(1).begin(), ctx.shape(1).end());
  out.shape.insert(out.shape.end(), data.begin() + a + 1, data.end());
  // Shape arithmetic: picking dims out of a shape.
  if (auto values = ctx.values(0); values && data.size() == 1) {
    if (auto picks = ctx.ints(1); picks && static_cast<int64_t>(picks->size()) <= kMaxTrackedValues) {
      std::vector<Dim> chosen;
      const auto n = static_cast<int64_t>(values->size());
      for (int64_t i : *picks) {
        if (i < -n || i >= n) return invalid("index {} is outside [{}, {})", i, -n, n);
        chosen.push_back((*values)[static_cast<size_t>(i < 0 ? i + n : i)]);
      }
      out.values = std::move(chosen);
    }
  }
  return Facts{std::move(out)};
}

Status Gather::evaluate(EvalCtx& ctx) const {
  const TensorView& data = ctx.in[0];
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, data.rank()));
  CARNOT_ASSIGN(const std::vector<int64_t> indices, to_int64s(ctx.in[1]));
  int64_t outer = 1, inner = static_cast<int64_t>(dtype_size(data.dtype));
  for (size_t i = 0; i < data.rank(); ++i) {
    if (static_cast<int64_t>(i) < a) outer *= data.dims[i];
    if (static_cast<int64_t>(i) > a) inner *= data.dims[i];
  }
  const int64_t n = data.dims[static_cast<size_t>(a)];
  const auto* from = data.as<char>();
  auto* to = ctx.out[0].as<char>();
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t index : indices) {
      if (index < -n || index >= n) return invalid("input 1 ('indices') holds {}, outside [{}, {})", index, -n, n);
      std::memcpy(to, from + (o * n + (index < 0 ? index + n : index)) * inner, static_cast<size_t>(inner));
      to += inner;
    }
  return {};
}

CARNOT_DEFINE_OPS(gather, Gather)

}  // namespace carnot::ops
