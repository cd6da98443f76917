// SPDX-License-Identifier: Apache-2.0
#include "ops/concat.hpp"

#include <algorithm>

namespace carnot::ops {

Result<Facts> Concat::infer(const InferCtx& ctx) const {
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, ctx.rank(0)));
  ValueFacts out{ctx.dtype(0), ctx.shape(0)};
  std::optional<std::vector<Dim>> values = std::vector<Dim>();
  Dim length(0);
  for (size_t i = 0; i < ctx.inputs(); ++i) {
    if (!ctx.has(i)) return invalid("input {} is missing", i);
    const Shape& x = ctx.shape(i);
    if (ctx.dtype(i) != out.dtype) return invalid("input {} holds {}, input 0 {}", i, dtype_name(ctx.dtype(i)), dtype_name(out.dtype));
    if (x.size() != out.shape.size()) return invalid("input {} has shape {}, input 0 {}: their ranks differ", i, to_string(x), to_string(ctx.shape(0)));
    for (size_t d = 0; d < x.size(); ++d) {
      if (static_cast<int64_t>(d) == a) continue;
      if (x[d].is_constant() && out.shape[d].is_constant() && !(x[d] == out.shape[d]))
        return invalid("input {} has shape {}, input 0 {}: they differ on axis {}", i, to_string(x), to_string(ctx.shape(0)), d);
      if (x[d].is_constant()) out.shape[d] = x[d];  // a symbol next to a number must be that number
    }
    length = length + x[static_cast<size_t>(a)];
    auto part = ctx.values(i);
    if (values && part && x.size() == 1 && values->size() + part->size() <= static_cast<size_t>(kMaxTrackedValues))
      values->insert(values->end(), part->begin(), part->end());
    else
      values.reset();
  }
  out.shape[static_cast<size_t>(a)] = length;
  out.values = std::move(values);
  return Facts{std::move(out)};
}

Status Concat::evaluate(EvalCtx& ctx) const {
  TensorView& y = ctx.out[0];
  CARNOT_ASSIGN(const int64_t a, normalize_axis(axis, y.rank()));
  const auto bytes = static_cast<int64_t>(dtype_size(y.dtype));
  int64_t outer = 1, inner = bytes;
  for (int64_t d = 0; d < static_cast<int64_t>(y.rank()); ++d) (d < a ? outer : inner) *= d == a ? 1 : y.dims[static_cast<size_t>(d)];
  const int64_t row = inner * y.dims[static_cast<size_t>(a)];
  int64_t at = 0;
  for (const TensorView& x : ctx.in) {
    const int64_t part = inner * x.dims[static_cast<size_t>(a)];
    for (int64_t o = 0; o < outer && part > 0; ++o) std::memcpy(y.as<char>() + o * row + at, x.as<char>() + o * part, static_cast<size_t>(part));
    at += part;
  }
  return {};
}

std::optional<Concat> Concat::permuted(const std::vector<int64_t>& perm) const {
  Concat c = *this;
  const int64_t a = axis < 0 ? axis + static_cast<int64_t>(perm.size()) : axis;
  c.axis = std::find(perm.begin(), perm.end(), a) - perm.begin();
  return c;
}

CARNOT_DEFINE_OPS(concat, Concat)

}  // namespace carnot::ops
