// SPDX-License-Identifier: Apache-2.0
// Attention as one operation of cuDNN, without mask, which computes it without ever storing the scores.
#pragma once
#include <cuda.h>

#include <memory>

#include "base/dtype.hpp"
#include "base/result.hpp"

namespace carnot::cuda {

// Where the heads of one operand lie; steps and offset in elements.
struct HeadLayout {
  int64_t batch = 1, heads = 1, length = 1, size = 1;
  int64_t batch_step = 0, head_step = 0, row_step = 0, column_step = 0;  // from one batch, head, position, element to the next
  int64_t offset = 0;                                                    // of the first head
  bool operator==(const HeadLayout&) const = default;
};

struct Attention {
  DType type = DType::kF16;  // f16, bf16
  HeadLayout q, k, v, y;
  double scale = 1;
  bool operator==(const Attention&) const = default;
};

// Shared by everything in the process that has the same attention; any thread may run it.
class AttentionGraph {
 public:
  // The graph for the calling thread's device; the layouts' offsets do not matter. kUnsupported if cuDNN does not take the case.
  static Result<std::shared_ptr<AttentionGraph>> get(Attention attention);
  virtual ~AttentionGraph() = default;
  virtual size_t workspace() const = 0;
  // Addresses of the operands' first heads, aligned to 16 bytes.
  virtual Status run(CUstream stream, const void* q, const void* k, const void* v, void* y, void* workspace) const = 0;
};

}  // namespace carnot::cuda
