// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/api.hpp"

namespace carnot::cuda {
namespace {

const Api* opened = nullptr;

Result<const Api*> open() {
  static const LibraryNames names{"the NVIDIA driver", {"libcuda.so.1"}, "install the driver, nvidia-driver (Debian)"};
  CARNOT_ASSIGN(void* library, open_library(names));
  static Api table;
  CARNOT_CUDA_API(CARNOT_LIBRARY_LOOKUP)
  opened = &table;
  if (const CUresult result = table.cuInit(0); result != CUDA_SUCCESS) {
    Status status = failed(result, "no NVIDIA GPU can be used (nvidia-smi tells more)");
    return Error{Code::kUnsupported, status.error().message};
  }
  return &table;
}

}  // namespace

Result<const Api*> api() {
  static const Result<const Api*> table = open();
  return table;
}

Status failed(CUresult result, std::string_view what) {
  const char* text = nullptr;
  if (opened) opened->cuGetErrorString(result, &text);
  return fail(result == CUDA_ERROR_OUT_OF_MEMORY ? Code::kOutOfMemory : Code::kInternal, "{}: {} (CUDA error {})", what, text ? text : "unknown", static_cast<int>(result));
}

}  // namespace carnot::cuda
