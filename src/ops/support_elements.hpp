// SPDX-License-Identifier: Apache-2.0
// Elements of any dtype, taken out of and put into tensors as one of four compute types. Shared by the references of element-wise
// operators.
#pragma once
#include "base/tensor.hpp"

namespace carnot::ops {

enum class ComputeType : uint8_t { kFloat, kDouble, kInt, kUint };  // float, double, int64_t, uint64_t

// The type in which nothing of `dtype` is lost and arithmetic is done: float for f16, bf16 and f32; int64_t for bool.
ComputeType compute_type(DType dtype);

// Calls fn(TypeTag<C>{}).
template <typename Fn>
void dispatch_compute(ComputeType type, Fn&& fn) {
  switch (type) {
    case ComputeType::kFloat: return fn(TypeTag<float>{});
    case ComputeType::kDouble: return fn(TypeTag<double>{});
    case ComputeType::kInt: return fn(TypeTag<int64_t>{});
    case ComputeType::kUint: return fn(TypeTag<uint64_t>{});
  }
}

// to[i] = from[i * stride] for i < n, `from` counted in elements of `dtype`. Conversion as ONNX Cast: to integers towards zero, low bits
// kept; out of range saturates at 64 bits, NaN gives 0; bool is 0 or 1.
template <typename C>
void load_elements(DType dtype, const void* from, int64_t offset, int64_t stride, int64_t n, C* to);
// to[i] = from[i], with the same conversions.
template <typename C>
void store_elements(const C* from, int64_t n, DType dtype, void* to, int64_t offset);

// Walks the rows (last axis) of a result whose operands are broadcast numpy-like, in order.
class BroadcastWalk {
 public:
  // Operand dims must broadcast to `out`.
  BroadcastWalk(const Dims& out, std::span<const Dims> operands);
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }
  // Element offset of operand k at the current row, and its step along the row (0 or 1).
  int64_t offset(size_t k) const { return offsets_[k]; }
  int64_t step(size_t k) const { return strides_[k].back(); }
  void next();

 private:
  Dims dims_, index_;  // without the last axis
  std::vector<Dims> strides_;
  std::vector<int64_t> offsets_;
  int64_t rows_ = 1, cols_ = 1;
};

}  // namespace carnot::ops
