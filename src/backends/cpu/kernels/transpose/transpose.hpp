// SPDX-License-Identifier: Apache-2.0
// out axis i = in axis perm[i], for dense tensors of any rank with elements of 1, 2, 4 or 8 bytes.
//
// Axes that stay neighbours are merged first. What remains is either runs that are copied whole (the last axis stays) or a batch of
// matrix transposes between the input's last axis and the output's last axis, done in square blocks in registers.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/cpu_features.hpp"
#include "base/dims.hpp"

namespace carnot {
class ThreadPool;
}

namespace carnot::cpu {

// `dims` are the input's. An error if perm is no permutation, the element size is another, or more than kMaxTransposeRank axes remain.
inline constexpr int kMaxTransposeRank = 12;
Status run_transpose(const void* in, void* out, const Dims& dims, std::span<const int64_t> perm, size_t element_bytes, ThreadPool& pool,
                     Isa isa = kernel_isa());

}  // namespace carnot::cpu
