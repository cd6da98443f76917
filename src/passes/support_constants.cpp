// SPDX-License-Identifier: Apache-2.0
#include "passes/support_constants.hpp"

#include <algorithm>

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

namespace {

// Rows of `width`-byte elements: out [cols, rows] = in [rows, cols]^T, in blocks that fit the cache.
template <typename T>
void transpose_matrix(const T* from, T* to, int64_t rows, int64_t cols) {
  constexpr int64_t kBlock = 32;
  for (int64_t r0 = 0; r0 < rows; r0 += kBlock)
    for (int64_t c0 = 0; c0 < cols; c0 += kBlock)
      for (int64_t c = c0; c < std::min(c0 + kBlock, cols); ++c)
        for (int64_t r = r0; r < std::min(r0 + kBlock, rows); ++r) to[c * rows + r] = from[r * cols + c];
}

template <typename T>
void permute(const T* from, T* to, const Dims& dims, const Dims& strides) {
  const size_t rank = dims.size();
  if (rank == 2 && strides[0] == 1) return transpose_matrix(from, to, dims[1], dims[0]);
  const int64_t row = rank ? dims[rank - 1] : 1, step = rank ? strides[rank - 1] : 0;
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < rank; ++i) rows *= dims[i];
  Dims index(rank, 0);
  int64_t offset = 0;
  for (int64_t n = 0; n < rows; ++n) {
    for (int64_t i = 0; i < row; ++i) *to++ = from[offset + i * step];
    for (size_t axis = rank ? rank - 1 : 0; axis-- > 0;) {
      offset += strides[axis];
      if (++index[axis] < dims[axis]) break;
      offset -= strides[axis] * dims[axis];
      index[axis] = 0;
    }
  }
}

}  // namespace

Constant transposed(const Constant& constant, const std::vector<int64_t>& perm) {
  const Dims from = strides_of(constant.dims);
  Dims dims, strides;
  for (int64_t p : perm) {
    dims.push_back(constant.dims[static_cast<size_t>(p)]);
    strides.push_back(from[static_cast<size_t>(p)]);
  }
  Constant out = Constant::allocate(constant.dtype, dims);
  if (out.size() == 0) return out;
  switch (dtype_size(constant.dtype)) {
    case 1: permute(constant.as<uint8_t>(), static_cast<uint8_t*>(out.mutable_data()), dims, strides); break;
    case 2: permute(constant.as<uint16_t>(), static_cast<uint16_t*>(out.mutable_data()), dims, strides); break;
    case 4: permute(constant.as<uint32_t>(), static_cast<uint32_t*>(out.mutable_data()), dims, strides); break;
    default: permute(constant.as<uint64_t>(), static_cast<uint64_t*>(out.mutable_data()), dims, strides);
  }
  return out;
}

}  // namespace carnot::passes
