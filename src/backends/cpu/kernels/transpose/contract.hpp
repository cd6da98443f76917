// SPDX-License-Identifier: Apache-2.0
// out[j * ld_out + i] = in[i * ld_in + j] for i < rows, j < cols; strides in elements.
#pragma once
#include <cstdint>

#include "base/cpu_features.hpp"

namespace carnot::cpu {

using TransposeFn = void (*)(const void* in, int64_t ld_in, void* out, int64_t ld_out, int64_t rows, int64_t cols);

struct TransposeTable {
  TransposeFn bytes1, bytes2, bytes4, bytes8;
};
const TransposeTable& transpose_table(Isa isa);

}  // namespace carnot::cpu
