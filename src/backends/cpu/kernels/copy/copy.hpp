// SPDX-License-Identifier: Apache-2.0
// Moving elements of any type: strided copies (concat, split, slice, expand), rows by index (gather, embeddings), padding.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/dims.hpp"

namespace carnot {
class ThreadPool;
}

namespace carnot::cpu {

inline constexpr int kMaxCopyRank = 16;

// out[i . out_strides] = in[i . in_strides] for every index i of `dims`; strides in elements, one per axis. Input strides may be 0 (expand)
// or negative (reversed slices, `in` is then the element of index 0). Regions must not overlap. An error if the rank is above kMaxCopyRank
// or an element is not 1 to 16 bytes.
Status run_copy(const void* in, std::span<const int64_t> in_strides, void* out, std::span<const int64_t> out_strides, const Dims& dims,
                size_t element_bytes, ThreadPool& pool);

// out[o, k, :] = data[o, indices[k], :] with rows of `row_bytes`; a negative index counts from the end. An error names an index outside
// [-size, size); the output is then unspecified.
struct GatherRows {
  int64_t outer = 1, size = 0, row_bytes = 0;  // data is [outer, size, row_bytes]
  const void* data = nullptr;
  const void* indices = nullptr;  // `count` of int64_t or int32_t
  bool indices_are_32_bit = false;
  int64_t count = 0;
  void* out = nullptr;
};
Status run_gather_rows(const GatherRows& gather, ThreadPool& pool);

enum class PadMode : uint8_t { kConstant, kReflect, kEdge, kWrap };
// out = in with begin[i] and end[i] positions added before and after each axis; negative ones cut. `value`: one element (kConstant).
// An error if reflect or edge or wrap would need elements that are not there.
Status run_pad(PadMode mode, const void* in, const Dims& dims, std::span<const int64_t> begin, std::span<const int64_t> end, const void* value,
               void* out, size_t element_bytes, ThreadPool& pool);

}  // namespace carnot::cpu
