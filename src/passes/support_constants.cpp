// SPDX-License-Identifier: Apache-2.0
#include "passes/support_constants.hpp"

namespace carnot::passes {

std::vector<double> doubles_of(const Constant& constant) {
  std::vector<double> out(static_cast<size_t>(constant.size()));
  dispatch_dtype(constant.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<double>(constant.as<T>()[i]);
  });
  return out;
}

Constant from_doubles(DType dtype, Dims dims, const std::vector<double>& values) {
  Constant out = Constant::allocate(dtype, std::move(dims));
  dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (size_t i = 0; i < values.size(); ++i) static_cast<T*>(out.mutable_data())[i] = static_cast<T>(values[i]);
  });
  return out;
}

std::optional<std::vector<double>> per_channel(const ir::Value* value, size_t rank, size_t axis, int64_t channels) {
  if (!value || !value->constant || value->constant->dims.size() > rank || !is_float(value->dtype())) return std::nullopt;
  const Dims& dims = value->constant->dims;
  for (size_t i = 0; i < dims.size(); ++i) {
    const bool here = rank - dims.size() + i == axis;
    if (dims[i] != 1 && !(here && dims[i] == channels)) return std::nullopt;
  }
  std::vector<double> out = doubles_of(*value->constant);
  if (out.size() == 1) out.assign(static_cast<size_t>(channels), out[0]);
  return out;
}

Constant transposed(const Constant& constant, const std::vector<int64_t>& perm) {
  const size_t rank = constant.dims.size(), width = dtype_size(constant.dtype);
  const Dims from = strides_of(constant.dims);
  Dims dims, strides;
  for (int64_t p : perm) {
    dims.push_back(constant.dims[static_cast<size_t>(p)]);
    strides.push_back(from[static_cast<size_t>(p)]);
  }
  Constant out = Constant::allocate(constant.dtype, dims);
  Dims index(rank, 0);
  const char* source = constant.as<char>();
  char* to = static_cast<char*>(out.mutable_data());
  int64_t offset = 0;
  const int64_t size = out.size();
  for (int64_t i = 0; i < size; ++i) {
    std::memcpy(to + static_cast<size_t>(i) * width, source + static_cast<size_t>(offset) * width, width);
    for (size_t axis = rank; axis-- > 0;) {
      offset += strides[axis];
      if (++index[axis] < dims[axis]) break;
      offset -= strides[axis] * dims[axis];
      index[axis] = 0;
    }
  }
  return out;
}

}  // namespace carnot::passes
