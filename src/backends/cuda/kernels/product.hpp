// SPDX-License-Identifier: Apache-2.0
// Matrix products on cuBLASLt: the algorithms that its heuristics offer for a shape, timed on the device when the shape first runs.
//
//   d[b] = activation(alpha * a[b] @ w[b] + bias + residual[b])        all matrices row-major
#pragma once
#include <cuda.h>

#include <memory>
#include <vector>

#include "base/dtype.hpp"
#include "base/result.hpp"

namespace carnot::cuda {

enum class ProductEpilogue : int { kNone, kRelu, kGeluTanh };

struct Product {
  DType type = DType::kF32;      // of a, w: f32, f16, bf16, f64
  DType out_type = DType::kF32;  // of residual, d
  bool tf32 = false;             // f32 on tensor cores, with 10 bits of mantissa
  int64_t m = 0, n = 0, k = 0;
  bool trans_a = false, trans_w = false;        // a lies as [k][m], w as [n][k]
  int64_t lda = 0, ldw = 0, ldr = 0, ldd = 0;   // elements between rows as they lie
  int64_t batch = 1, step_a = 0, step_w = 0, step_r = 0, step_d = 0;  // elements between the matrices of a batch
  double alpha = 1;
  bool bias = false;      // [n], of the out_type
  bool residual = false;
  ProductEpilogue epilogue = ProductEpilogue::kNone;
  int64_t choice = -1;    // which of the heuristics' algorithms; -1: time them
  int alignment = 16;     // bytes, of all pointers
  bool operator==(const Product&) const = default;
};

struct ProductOperands {
  const void *a = nullptr, *w = nullptr, *bias = nullptr, *residual = nullptr;
  void* d = nullptr;
};

// A product of one shape on one device. Shared by everything in the process that has the same one; any thread may run it.
class ProductPlan {
 public:
  // The plan for the calling thread's device. An error if cuBLASLt is missing; kUnsupported if it offers no algorithm.
  static Result<std::shared_ptr<ProductPlan>> get(const Product& product);
  virtual ~ProductPlan() = default;
  virtual size_t workspace() const = 0;  // bytes, 256-byte aligned
  // Enqueues. While the stream is not being recorded, the first call times the algorithms, which overwrites d several times.
  virtual Status run(CUstream stream, const ProductOperands& operands, void* workspace) = 0;
};

// One axis of a batch, with the elements from one index to the next in a, w and d (and residual); 0: the operand repeats.
struct BatchAxis {
  int64_t n = 1, a = 0, w = 0, d = 0;
  // The largest alignment, at most `most`, that all steps keep.
  int alignment(int most, size_t in_element, size_t out_element) const;
};
// Gives as much of the batch as possible to the product: as more rows where w repeats, as its own batch. Axes innermost first. Returns the
// axes that are left to a loop.
std::vector<BatchAxis> join_batches(std::vector<BatchAxis> axes, Product& product);
Status run_batches(ProductPlan& plan, const std::vector<BatchAxis>& loop, size_t in_element, size_t out_element, CUstream stream,
                   const ProductOperands& operands, void* workspace);

}  // namespace carnot::cuda
