// SPDX-License-Identifier: Apache-2.0
// Tensors of f16 and bf16 around kernels that compute in f32: conversion of runs, and the end of a block of sums that goes out narrow.
#pragma once
#include <cstdint>

#include "backends/cpu/kernels/gemm/epilogue.hpp"
#include "base/cpu_features.hpp"
#include "base/dtype.hpp"

namespace carnot {
class ThreadPool;
}

namespace carnot::cpu {

// out = activation(sum + residual), or activation(sum) + residual with residual_after, rounded once. `sum` is overwritten.
struct HalfBlock {
  float* sum = nullptr;
  int64_t ld_sum = 0;
  int64_t rows = 0, cols = 0;
  const uint16_t* residual = nullptr;  // may be `out` itself
  int64_t ld_residual = 0;
  bool residual_after = false;
  Activation activation = Activation::kNone;
  float alpha = 0, beta = 0;
  uint16_t* out = nullptr;
  int64_t ld_out = 0;
};

struct HalfKernels {
  Isa isa;
  void (*widen)(const uint16_t* from, float* to, int64_t n);
  void (*narrow)(const float* from, uint16_t* to, int64_t n);
  void (*finish)(const HalfBlock& block);
};
// `type`: f16 or bf16.
const HalfKernels& half_kernels(DType type, Isa isa = kernel_isa());

// A whole tensor, shared out among the threads.
void widen_tensor(DType type, const void* from, float* to, int64_t n, ThreadPool& pool);
void narrow_tensor(DType type, const float* from, void* to, int64_t n, ThreadPool& pool);
// Rows that lie `ld` elements apart in the narrow tensor and adjoin in the wide one.
void widen_rows(DType type, const void* from, int64_t ld, float* to, int64_t rows, int64_t columns, ThreadPool& pool);
void narrow_rows(DType type, const float* from, void* to, int64_t ld, int64_t rows, int64_t columns, ThreadPool& pool);

}  // namespace carnot::cpu
