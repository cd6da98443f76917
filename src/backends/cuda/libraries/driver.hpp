// SPDX-License-Identifier: Apache-2.0
// What the library kernels need of the CUDA driver: launches, and timing by recordings on a stream of their own.
#pragma once
#include <cuda.h>

#include "backends/cuda/libraries/library.hpp"

namespace carnot::cuda {

#define CARNOT_KERNEL_DRIVER_FUNCTIONS(X)                                                                                             \
  X(cuGetErrorString) X(cuCtxGetDevice) X(cuCtxGetCurrent) X(cuCtxSetCurrent) X(cuStreamCreate) X(cuStreamDestroy) X(cuStreamSynchronize) X(cuStreamIsCapturing) X(cuStreamBeginCapture) \
  X(cuStreamEndCapture) X(cuGraphInstantiateWithFlags) X(cuGraphLaunch) X(cuGraphExecDestroy) X(cuGraphDestroy) X(cuEventCreate)      \
  X(cuEventDestroy) X(cuEventRecord) X(cuEventSynchronize) X(cuEventElapsedTime) X(cuLibraryLoadData) X(cuLibraryGetKernel) X(cuLaunchKernel) \
  X(cuDeviceGetAttribute)
CARNOT_LIBRARY_TABLE(KernelDriver, CARNOT_KERNEL_DRIVER_FUNCTIONS)

// Looked up once per process.
Result<const KernelDriver*> kernel_driver();
Status check(CUresult result, std::string_view what);
// The ordinal of the calling thread's current context.
Result<int> current_device();

}  // namespace carnot::cuda
