// SPDX-License-Identifier: Apache-2.0
#include "ops/support_scatter.hpp"

#include <algorithm>

namespace carnot::ops {

Status check_reduction(std::string_view reduction) {
  for (std::string_view known : {"none", "add", "mul", "min", "max"})
    if (reduction == known) return {};
  return invalid("reduction '{}' is none of none, add, mul, min, max", reduction);
}

void scatter_one(TensorView& to, int64_t at, const TensorView& from, int64_t i, std::string_view reduction) {
  dispatch_dtype(to.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T& y = to.as<T>()[at];
    const T x = from.as<T>()[i];
    if (reduction == "add")
      y = static_cast<T>(y + x);
    else if (reduction == "mul")
      y = static_cast<T>(y * x);
    else if (reduction == "min")
      y = x < y ? x : y;
    else if (reduction == "max")
      y = y < x ? x : y;
    else
      y = x;
  });
}

}  // namespace carnot::ops
