// SPDX-License-Identifier: Apache-2.0
// Copies between strided views: what transposes, slices, splits, concatenations and their like are.
#pragma once
#include <string>
#include <vector>

#include "tactics/cuda/support_kernel.hpp"

namespace carnot::tactics::cuda {

// to[to_base + c . to_strides] = from[from_base + c . from_strides] for all coordinates c of `sizes`.
struct Part {
  std::string from, to;  // names of pointers
  Shape sizes, from_strides, to_strides;
  Dim from_base = 0, to_base = 0;
};

// A kernel of nothing but these parts (blocks of their own), all of elements of one size.
Result<Candidate> copy_parts(Kernel& kernel, std::vector<Part> parts, size_t element_bytes, std::string_view family);

}  // namespace carnot::tactics::cuda
