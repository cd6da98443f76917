// SPDX-License-Identifier: Apache-2.0
// What the tactics of the vendor's libraries share.
#pragma once
#include "tactics/cpu/support_fused.hpp"

namespace carnot::tactics::cuda {

// Types that tensor cores take, where results are rounded to 16 bits anyway.
inline bool is_narrow(DType t) { return t == DType::kF16 || t == DType::kBF16; }
inline bool is_library_float(DType t) { return t == DType::kF32 || is_narrow(t); }

// The operand of the command for the node's operand i, -1: absent.
inline Operand operand_at(int i) { return i >= 0 ? Operand::of(static_cast<size_t>(i)) : Operand::absent(); }

// The same elements with permuted axes: to.dims[i] = from.dims[axes[i]].
Constant transposed(const Constant& from, const std::vector<int64_t>& axes);

}  // namespace carnot::tactics::cuda
