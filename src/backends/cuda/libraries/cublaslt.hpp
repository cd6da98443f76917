// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cublasLt.h>

#include "backends/cuda/libraries/library.hpp"

namespace carnot::cuda {

#define CARNOT_CUBLASLT_FUNCTIONS(X)                                                                                                \
  X(cublasLtCreate) X(cublasLtGetVersion) X(cublasLtMatmul) X(cublasLtMatmulAlgoGetHeuristic) X(cublasLtMatmulDescInit_internal)    \
  X(cublasLtMatmulDescSetAttribute) X(cublasLtMatrixLayoutInit_internal) X(cublasLtMatrixLayoutSetAttribute)                        \
  X(cublasLtMatmulPreferenceInit_internal) X(cublasLtMatmulPreferenceSetAttribute)
CARNOT_LIBRARY_TABLE(CublasLt, CARNOT_CUBLASLT_FUNCTIONS)

// Looked up once per process.
Result<const CublasLt*> cublaslt();
// The handle of the calling thread's device; all threads may use it.
Result<cublasLtHandle_t> cublaslt_handle();
Status check(cublasStatus_t status, std::string_view what);

}  // namespace carnot::cuda
