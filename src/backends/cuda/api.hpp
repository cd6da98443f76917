// SPDX-License-Identifier: Apache-2.0
// The driver's functions that devices, streams and launches use, opened on demand.
#pragma once
#include <cuda.h>

#include "backends/cuda/libraries/library.hpp"

namespace carnot::cuda {

#define CARNOT_CUDA_API(X)                                                                                                              \
  X(cuInit) X(cuGetErrorString) X(cuDriverGetVersion) X(cuDeviceGetCount) X(cuDeviceGet) X(cuDeviceGetName) X(cuDeviceGetAttribute)     \
  X(cuDevicePrimaryCtxRetain) X(cuCtxSetCurrent) X(cuMemGetInfo) X(cuMemAlloc) X(cuMemFree) X(cuMemHostAlloc)                            \
  X(cuMemFreeHost) X(cuMemcpyAsync) X(cuMemsetD8Async) X(cuStreamCreate) X(cuStreamDestroy) X(cuStreamSynchronize)                       \
  X(cuStreamBeginCapture) X(cuStreamEndCapture) X(cuStreamWaitEvent) X(cuGraphInstantiateWithFlags) X(cuGraphLaunch) X(cuGraphExecDestroy) \
  X(cuGraphDestroy) X(cuEventCreate) X(cuEventDestroy) X(cuEventRecord) X(cuEventSynchronize) X(cuEventElapsedTime) X(cuModuleLoadData)   \
  X(cuModuleUnload) X(cuModuleGetFunction) X(cuFuncSetAttribute) X(cuFuncGetParamInfo) X(cuLaunchKernel)
CARNOT_LIBRARY_TABLE(Api, CARNOT_CUDA_API)

// The table, with the driver initialised. The error says what is missing and how to install it.
Result<const Api*> api();
// `what` is what was tried: "allocating 64 bytes".
Status failed(CUresult result, std::string_view what);
#define CARNOT_CUDA_CALL(call, what)                                        \
  do {                                                                      \
    if (const CUresult cuda_result_ = (call); cuda_result_ != CUDA_SUCCESS) \
      return std::move(::carnot::cuda::failed(cuda_result_, what).error()); \
  } while (0)

}  // namespace carnot::cuda
