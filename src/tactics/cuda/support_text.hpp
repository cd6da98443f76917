// SPDX-License-Identifier: Apache-2.0
// Pieces of CUDA text that generated kernels share. They compile with NVRTC (no headers) and, for tests, as C++ on the host with
// tests/cuda_text/shim.hpp in front.
#pragma once
#include <string_view>

namespace carnot::tactics::cuda {

// Types of elements, up() to the type that they are computed in and down<T>() back, packs for wide loads, quotient<I>().
std::string_view text_of_types();
// The vocabulary of base/pointwise.inc, in namespace `pw`.
std::string_view text_of_pointwise();
// warp_sum(x), warp_max(x), block_sum<Threads>(x), block_max<Threads>(x): every thread gets the result.
std::string_view text_of_reductions();

}  // namespace carnot::tactics::cuda
