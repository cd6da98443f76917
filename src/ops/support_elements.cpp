// SPDX-License-Identifier: Apache-2.0
#include "ops/support_elements.hpp"

#include <cmath>

namespace carnot::ops {

ComputeType compute_type(DType dtype) {
  if (dtype == DType::kF64) return ComputeType::kDouble;
  if (is_float(dtype)) return ComputeType::kFloat;
  return dtype == DType::kU64 ? ComputeType::kUint : ComputeType::kInt;
}

namespace {
template <typename To, typename From>
To convert(From x) {
  if constexpr (std::is_same_v<To, bool>) {
    return x != From(0);
  } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<From>) {
    if (x != x) return To(0);
    if constexpr (std::is_same_v<To, uint64_t>)
      if (x >= From(9223372036854775808.0)) return x >= From(18446744073709551616.0) ? ~uint64_t{0} : static_cast<uint64_t>(x);
    if (x >= From(9223372036854775808.0)) return static_cast<To>(INT64_MAX);
    if (x < From(-9223372036854775808.0)) return static_cast<To>(INT64_MIN);
    return static_cast<To>(static_cast<int64_t>(x));
  } else {
    return static_cast<To>(x);
  }
}
// f16 and bf16 are read and written through float; a bool is a byte that may hold any value in a stranger's file.
template <typename C, typename T>
C read(const T* p) {
  if constexpr (std::is_same_v<T, bool>)
    return C(*reinterpret_cast<const uint8_t*>(p) != 0);
  else if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>)
    return convert<C>(static_cast<float>(*p));
  else
    return convert<C>(*p);
}
}  // namespace

template <typename C>
void load_elements(DType dtype, const void* from, int64_t offset, int64_t stride, int64_t n, C* to) {
  dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* p = static_cast<const T*>(from) + offset;
    for (int64_t i = 0; i < n; ++i) to[i] = read<C>(p + i * stride);
  });
}

template <typename C>
void store_elements(const C* from, int64_t n, DType dtype, void* to, int64_t offset) {
  dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* p = static_cast<T*>(to) + offset;
    for (int64_t i = 0; i < n; ++i) p[i] = convert<T>(from[i]);
  });
}

template void load_elements(DType, const void*, int64_t, int64_t, int64_t, float*);
template void load_elements(DType, const void*, int64_t, int64_t, int64_t, double*);
template void load_elements(DType, const void*, int64_t, int64_t, int64_t, int64_t*);
template void load_elements(DType, const void*, int64_t, int64_t, int64_t, uint64_t*);
template void store_elements(const float*, int64_t, DType, void*, int64_t);
template void store_elements(const double*, int64_t, DType, void*, int64_t);
template void store_elements(const int64_t*, int64_t, DType, void*, int64_t);
template void store_elements(const uint64_t*, int64_t, DType, void*, int64_t);

BroadcastWalk::BroadcastWalk(const Dims& out, std::span<const Dims> operands) {
  const size_t rank = std::max<size_t>(out.size(), 1);
  Dims full = out;
  if (full.empty()) full = {1};
  cols_ = full.back();
  dims_.assign(full.begin(), full.end() - 1);
  for (int64_t d : dims_) rows_ *= d;
  index_.assign(dims_.size(), 0);
  offsets_.assign(operands.size(), 0);
  for (const Dims& dims : operands) {
    Dims strides(rank, 0);
    int64_t stride = 1;
    for (size_t i = 0; i < dims.size(); ++i) {
      const int64_t d = dims[dims.size() - 1 - i];
      if (d != 1) strides[rank - 1 - i] = stride;
      stride *= d;
    }
    strides_.push_back(std::move(strides));
  }
}

void BroadcastWalk::next() {
  for (size_t axis = dims_.size(); axis-- > 0;) {
    ++index_[axis];
    for (size_t k = 0; k < strides_.size(); ++k) offsets_[k] += strides_[k][axis];
    if (index_[axis] < dims_[axis]) return;
    for (size_t k = 0; k < strides_.size(); ++k) offsets_[k] -= strides_[k][axis] * dims_[axis];
    index_[axis] = 0;
  }
}

}  // namespace carnot::ops
