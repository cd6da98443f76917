// SPDX-License-Identifier: Apache-2.0
#include "tactics/cuda/support_library.hpp"

#include <cstring>

namespace carnot::tactics::cuda {

Constant transposed(const Constant& from, const std::vector<int64_t>& axes) {
  const size_t rank = axes.size(), element = dtype_size(from.dtype);
  std::vector<int64_t> from_steps(rank, 1), steps(rank);
  for (size_t i = rank; i-- > 1;) from_steps[i - 1] = from_steps[i] * from.dims[i];
  Dims dims(rank);
  for (size_t i = 0; i < rank; ++i) dims[i] = from.dims[static_cast<size_t>(axes[i])], steps[i] = from_steps[static_cast<size_t>(axes[i])];
  Constant to = Constant::allocate(from.dtype, dims);
  auto* out = static_cast<std::byte*>(to.mutable_data());
  const auto* in = static_cast<const std::byte*>(from.data);
  std::vector<int64_t> at(rank, 0);
  for (int64_t n = 0, count = to.size(), source = 0; n < count; ++n) {
    std::memcpy(out + static_cast<size_t>(n) * element, in + static_cast<size_t>(source) * element, element);
    for (size_t i = rank; i-- > 0;) {
      source += steps[i];
      if (++at[i] < dims[i]) break;
      source -= steps[i] * dims[i];
      at[i] = 0;
    }
  }
  return to;
}

}  // namespace carnot::tactics::cuda
