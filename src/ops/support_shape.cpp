// SPDX-License-Identifier: Apache-2.0
#include "ops/support_shape.hpp"

#include <algorithm>

namespace carnot::ops {

Status copy_bytes(EvalCtx& ctx) {
  if (ctx.in[0].bytes() != ctx.out[0].bytes())
    return invalid("input 0 holds {} elements, the result {}", ctx.in[0].size(), ctx.out[0].size());
  if (ctx.in[0].bytes() > 0) std::memmove(ctx.out[0].data, ctx.in[0].data, ctx.in[0].bytes());
  return {};
}

Result<std::vector<int64_t>> normalize_axes(const std::vector<int64_t>& axes, size_t rank, size_t operand) {
  std::vector<int64_t> out;
  for (int64_t a : axes) {
    auto axis = normalize_axis(a, rank);
    if (!axis) return std::move(axis.error()).within(fmt::format("input {} ('axes')", operand));
    if (std::find(out.begin(), out.end(), *axis) != out.end()) return invalid("input {} ('axes') names axis {} twice", operand, *axis);
    out.push_back(*axis);
  }
  return out;
}

bool next_index(std::vector<int64_t>& index, const Dims& dims) {
  for (size_t i = dims.size(); i-- > 0;) {
    if (++index[i] < dims[i]) return true;
    index[i] = 0;
  }
  return false;
}

Shape fresh_shape(const InferCtx& ctx, size_t rank, std::string_view hint) {
  Shape shape;
  for (size_t i = 0; i < rank; ++i) shape.push_back(ctx.fresh(hint));
  return shape;
}

std::optional<int64_t> known_length(const InferCtx& ctx, size_t operand) {
  if (ctx.rank(operand) == 0) return 1;
  if (ctx.rank(operand) != 1 || !ctx.shape(operand)[0].is_constant()) return std::nullopt;
  return ctx.shape(operand)[0].value();
}

}  // namespace carnot::ops
