// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/libraries/driver.hpp"

namespace carnot::cuda {
namespace {

Result<const KernelDriver*> load() {
  static const LibraryNames names{"the NVIDIA driver", {"libcuda.so.1"}, "install the driver, nvidia-driver (Debian)"};
  CARNOT_ASSIGN(void* library, open_library(names));
  static KernelDriver table;
  CARNOT_KERNEL_DRIVER_FUNCTIONS(CARNOT_LIBRARY_LOOKUP)
  return &table;
}

}  // namespace

Result<const KernelDriver*> kernel_driver() {
  static const Result<const KernelDriver*> loaded = load();
  return loaded;
}

Status check(CUresult result, std::string_view what) {
  if (result == CUDA_SUCCESS) return {};
  const char* text = nullptr;
  if (auto driver = kernel_driver(); driver) (*driver)->cuGetErrorString(result, &text);
  return fail(result == CUDA_ERROR_OUT_OF_MEMORY ? Code::kOutOfMemory : Code::kInternal, "{}: {} (CUDA error {})", what, text ? text : "unknown",
              static_cast<int>(result));
}

Result<int> current_device() {
  CARNOT_ASSIGN(const KernelDriver* driver, kernel_driver());
  CUdevice device = 0;
  CARNOT_RETURN_IF_ERROR(check(driver->cuCtxGetDevice(&device), "the current CUDA context"));
  return static_cast<int>(device);
}

}  // namespace carnot::cuda
