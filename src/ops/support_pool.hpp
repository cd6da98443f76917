// SPDX-License-Identifier: Apache-2.0
// What max, average and Lp pooling share: their shape rule and the walk over their windows.
#pragma once
#include <functional>

#include "ops/support_spatial.hpp"

namespace carnot::ops {

struct PoolAttrs {
  WindowAttrs window;
  std::span<const int64_t> kernel;
  bool ceil_mode = false;
  std::string_view layout;
};

// Shape of y: that of x with its spatial extents replaced.
Result<Shape> pool_shape(const PoolAttrs& attrs, const OpInfo& info, const Shape& x);

// Calls `fn` for each output position of a plane with that extent: its flat number, the flat numbers of the input
// elements in its window, and how many taps of the window lie in the input or its padding (not beyond, where ceil_mode
// reaches).
using WindowFn = std::function<void(int64_t out, std::span<const int64_t> in, int64_t padded)>;
void for_each_window(const PoolAttrs& attrs, const Dims& in, const Dims& out, const WindowFn& fn);

// Checks for [n, c, spatial...] and gives [n, c, 1...] in either layout.
Result<Shape> global_pool_shape(std::string_view layout, const OpInfo& info, const Shape& x);
// Folds each plane to one number.
Status global_pool(EvalCtx& ctx, std::string_view layout, const std::function<double(std::span<const double>)>& fold);

}  // namespace carnot::ops
