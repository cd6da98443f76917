// SPDX-License-Identifier: Apache-2.0
// C = activation(A * B + bias + residual), summed in fp32, with a packed, constant B; and batched A * B where B is computed at
// run time.
//
//   std::vector<float> w(packed_size(k, n));
//   pack_nk(weight, k, n, k, w.data());                      // once
//   run_gemm({.m = m, .n = n, .k = k, .a = x, .lda = k, .b = w.data(), .c = y, .ldc = n, .epilogue = {.bias = b}},
//   pool);
//
// Results do not depend on the number of threads: every element is one sum in the order of k.
#pragma once
#include <cstddef>
#include <cstdint>

#include "backends/cpu/kernels/gemm/epilogue.hpp"
#include "base/cpu_features.hpp"
#include "base/dtype.hpp"

namespace carnot {
class ThreadPool;
}

namespace carnot::cpu {

// Sizes may be 0 (k = 0 gives the bias). A, the residual and C must not overlap, but the residual may be C itself.
struct Gemm {
  int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;  // row-major, m rows of k
  ptrdiff_t lda = 0;         // elements between rows
  DType b_type = DType::kF32;  // f32, f16 or bf16
  const void* b = nullptr;     // packed k x n, see pack.hpp
  float* c = nullptr;        // row-major, m rows of n
  ptrdiff_t ldc = 0;
  Epilogue epilogue;
  Blocking blocking;
  // A, C and the residual in f16 or bf16 instead (the bias stays f32): set `half` and these in place of a, c and
  // epilogue.residual; the strides hold for them. Needs gemm_workspace() bytes.
  DType half = DType::kInvalid;
  const uint16_t* half_a = nullptr;
  uint16_t* half_c = nullptr;
  const uint16_t* half_residual = nullptr;
  void* workspace = nullptr;
};
size_t gemm_workspace(const Gemm& gemm, int threads);
void run_gemm(const Gemm& gemm, ThreadPool& pool, Isa isa = kernel_isa());

// C[i] = A[i] * B[i] for every index i of up to four batch dims, with any strides (0 broadcasts). Element (r, c) of a
// matrix X lies at x[batch offset + r * x_row + c * x_col]. C is row-major (its columns adjoin). The epilogue's bias is
// per column; its residual and callback are not supported here.
struct BatchedMatmul {
  static constexpr int kBatchDims = 4;
  int64_t m = 0, n = 0, k = 0;
  int64_t batch[kBatchDims] = {1, 1, 1, 1};
  const float* a = nullptr;
  ptrdiff_t a_row = 0, a_col = 1;
  ptrdiff_t a_batch[kBatchDims] = {};
  const float* b = nullptr;
  ptrdiff_t b_row = 0, b_col = 1;
  ptrdiff_t b_batch[kBatchDims] = {};
  float* c = nullptr;
  ptrdiff_t c_row = 0;
  ptrdiff_t c_batch[kBatchDims] = {};
  float scale = 1;  // C = activation(scale * (A * B) + bias)
  Epilogue epilogue;
  Blocking blocking;
  int packed_b = -1;  // 0: rows of B are read where they lie, where that is possible; 1: B is packed first; -1: by the number of rows
};
// Bytes of scratch that run_matmul needs with this many threads; 64-byte alignment is recommended.
size_t matmul_workspace(const BatchedMatmul& matmul, int threads);
void run_matmul(const BatchedMatmul& matmul, void* workspace, ThreadPool& pool, Isa isa = kernel_isa());

}  // namespace carnot::cpu
