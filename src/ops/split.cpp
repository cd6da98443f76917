// SPDX-License-Identifier: Apache-2.0
#include "ops/split.hpp"

#include "ops/support_shape.hpp"

namespace carnot::ops {

Result<Facts> Split::infer(const InferCtx& ctx) const {
  const Shape& x = ctx.shape(0);
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, x.size()));
  const Dim& whole = x[static_cast<size_t>(a)];
  const size_t parts = ctx.outputs();
  std::vector<Dim> sizes;
  if (ctx.has(1)) {
    if (auto given = ctx.values(1)) {
      if (given->size() != parts) return invalid("input 1 ('split') has {} sizes, the node {} outputs", given->size(), parts);
      Dim sum(0);
      for (const Dim& d : *given) {
        if (d.is_constant() && d.value() < 0) return invalid("input 1 ('split') has the negative size {}", d.value());
        sum = sum + d;
      }
      if (sum.is_constant() && whole.is_constant() && !(sum == whole)) return invalid("input 1 ('split') adds up to {}, axis {} has size {}", sum.str(), a, whole.str());
      sizes = *given;
    } else {
      sizes = fresh_shape(ctx, parts, "split");
    }
  } else {
    if (num_outputs != 0 && num_outputs != static_cast<int64_t>(parts)) return invalid("num_outputs is {}, the node has {} outputs", num_outputs, parts);
    const Dim chunk = Dim::ceildiv(whole, Dim(static_cast<int64_t>(parts)));
    for (size_t i = 0; i + 1 < parts; ++i) sizes.push_back(chunk);
    const Dim last = whole - chunk * Dim(static_cast<int64_t>(parts) - 1);
    if (last.is_constant() && last.value() < 0) return invalid("axis {} of size {} cannot be cut into {} parts", a, whole.str(), parts);
    sizes.push_back(last);
  }
  const auto values = ctx.values(0);
  Facts out;
  int64_t at = 0;
  for (const Dim& size : sizes) {
    ValueFacts part{ctx.dtype(0), x};
    part.shape[static_cast<size_t>(a)] = size;
    if (values && x.size() == 1 && at >= 0 && size.is_constant() && at + size.value() <= static_cast<int64_t>(values->size())) {
      part.values = std::vector<Dim>(values->begin() + at, values->begin() + at + size.value());
      at += size.value();
    } else {
      at = -1;
    }
    out.push_back(std::move(part));
  }
  return out;
}

Status Split::evaluate(EvalCtx& ctx) const {
  const TensorView& x = ctx.in[0];
  CARNOT_ASSIGN(const int64_t axis_at, normalize_axis(axis, x.rank()));
  const auto a = static_cast<size_t>(axis_at);
  int64_t outer = 1, inner = static_cast<int64_t>(dtype_size(x.dtype));
  for (size_t d = 0; d < x.rank(); ++d) (d < a ? outer : inner) *= d == a ? 1 : x.dims[d];
  const int64_t row = inner * x.dims[a];
  int64_t at = 0;
  for (TensorView& y : ctx.out) {
    const int64_t part = inner * y.dims[a];
    if (at + part > row) return invalid("the parts are longer than axis {} of size {}", a, x.dims[a]);
    for (int64_t o = 0; o < outer && part > 0; ++o) std::memcpy(y.as<char>() + o * part, x.as<char>() + o * row + at, static_cast<size_t>(part));
    at += part;
  }
  return {};
}

CARNOT_DEFINE_OPS(split, Split)

}  // namespace carnot::ops
