// SPDX-License-Identifier: Apache-2.0
// Tensor views: dtype, concrete dims and a pointer to row-major elements. A view owns nothing.
#pragma once
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <span>

#include "base/dims.hpp"
#include "base/dtype.hpp"

namespace carnot {

struct TensorView {
  DType dtype = DType::kInvalid;
  Dims dims;
  void* data = nullptr;
  // Elements from one row (along the last axis) to the next, where the view is some columns of a wider tensor; 0: dense. Only CPU kernels
  // that say so (device::Kernel::takes_pitch) ever see one that is not dense.
  int64_t pitch = 0;

  int64_t size() const { return size_of(dims); }
  size_t rank() const { return dims.size(); }
  size_t bytes() const { return static_cast<size_t>(size()) * dtype_size(dtype); }  // of a dense one
  // The last dim where dense. Not of a scalar.
  int64_t row_pitch() const { return pitch != 0 ? pitch : dims.back(); }
  template <typename T>
  T* as() {
    return static_cast<T*>(data);
  }
  template <typename T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
  template <typename T>
  std::span<const T> span() const {
    return {as<T>(), static_cast<size_t>(size())};
  }
};

// Immutable tensor whose bytes are shared: a weight. `owner` keeps the bytes alive (heap block, mapped file, or nothing when the
// caller promised that they outlive the tensor).
struct Constant {
  DType dtype = DType::kInvalid;
  Dims dims;
  const void* data = nullptr;
  std::shared_ptr<const void> owner;

  int64_t size() const { return size_of(dims); }
  size_t bytes() const { return static_cast<size_t>(size()) * dtype_size(dtype); }
  template <typename T>
  const T* as() const {
    return static_cast<const T*>(data);
  }
  TensorView view() const { return {dtype, dims, const_cast<void*>(data)}; }
  // A tensor that owns `size` elements of uninitialised, 64-byte aligned memory; fill it through mutable_data() before sharing.
  static Constant allocate(DType dtype, Dims dims);
  static Constant copy_of(DType dtype, Dims dims, const void* bytes);
  template <typename T>
  static Constant from(Dims dims, const std::vector<T>& values) {
    return copy_of(kDTypeOf<T>, std::move(dims), values.data());
  }
  template <typename T>
  static Constant scalar(T value) {
    return copy_of(kDTypeOf<T>, {}, &value);
  }
  void* mutable_data() { return const_cast<void*>(data); }
  bool equals(const Constant& other) const;
};

// Elements of an integer or bool tensor as int64; an error for other dtypes.
Result<std::vector<int64_t>> to_int64s(const TensorView& view);
// Elements of any numeric tensor as double.
Result<std::vector<double>> to_doubles(const TensorView& view);
// Numpy broadcasting of concrete dims.
Result<Dims> broadcast_dims(const Dims& a, const Dims& b);

// 64-byte aligned memory.
struct AlignedFree {
  void operator()(void* p) const { std::free(p); }
};
using AlignedPtr = std::unique_ptr<void, AlignedFree>;
AlignedPtr aligned_allocate(size_t bytes);  // null when out of memory

}  // namespace carnot
