// SPDX-License-Identifier: Apache-2.0
#include "tactics/attributes.hpp"

#include <algorithm>
#include <numeric>

namespace carnot::tactics {

std::vector<int64_t> filled(const std::vector<int64_t>& values, size_t n, int64_t otherwise) {
  return values.empty() ? std::vector<int64_t>(n, otherwise) : values;
}

std::optional<std::vector<int64_t>> reduced_axes(const Problem& problem) {
  const Attrs attrs = problem.op().attrs();
  std::vector<int64_t> axes;
  if (const auto* given = find_attr<std::vector<int64_t>>(attrs, "axes")) {
    axes = *given;
  } else if (const Constant* c = problem.constant(1)) {
    auto ints = to_int64s(c->view());
    if (!ints) return std::nullopt;
    axes = std::move(*ints);
  } else if (problem.node.has(1)) {
    return std::nullopt;
  }
  const size_t rank = problem.in(0).shape.size();
  if (axes.empty() && !attr_or<int64_t>(attrs, "noop_with_empty_axes", 0)) {
    axes.resize(rank);
    std::iota(axes.begin(), axes.end(), int64_t{0});
  }
  for (int64_t& a : axes) {
    auto axis = normalize_axis(a, rank);
    if (!axis) return std::nullopt;
    a = *axis;
  }
  std::sort(axes.begin(), axes.end());
  return axes;
}

}  // namespace carnot::tactics
