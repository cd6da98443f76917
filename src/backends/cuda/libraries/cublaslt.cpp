// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/libraries/cublaslt.hpp"

#include <map>
#include <mutex>

#include "backends/cuda/libraries/driver.hpp"

namespace carnot::cuda {
namespace {

Result<const CublasLt*> load() {
  static const LibraryNames names{"cuBLASLt, which computes matrix products,", {"libcublasLt.so.13", "libcublasLt.so.12"},
                                  "install libcublas-13-0 (NVIDIA's Debian repository) or nvidia-cublas (PyPI)"};
  CARNOT_ASSIGN(void* library, open_library(names));
  static CublasLt table;
  CARNOT_CUBLASLT_FUNCTIONS(CARNOT_LIBRARY_LOOKUP)
  return &table;
}

}  // namespace

Result<const CublasLt*> cublaslt() {
  static const Result<const CublasLt*> loaded = load();
  return loaded;
}

Status check(cublasStatus_t status, std::string_view what) {
  if (status == CUBLAS_STATUS_SUCCESS) return {};
  return fail(status == CUBLAS_STATUS_ALLOC_FAILED ? Code::kOutOfMemory : Code::kInternal, "{}: cuBLASLt status {}", what, static_cast<int>(status));
}

Result<cublasLtHandle_t> cublaslt_handle() {
  CARNOT_ASSIGN(const CublasLt* lt, cublaslt());
  CARNOT_ASSIGN(const int device, current_device());
  static std::mutex mutex;
  static std::map<int, cublasLtHandle_t> handles;  // live as long as the process, like the device's context
  const std::lock_guard lock(mutex);
  cublasLtHandle_t& handle = handles[device];
  if (!handle) CARNOT_RETURN_IF_ERROR(check(lt->cublasLtCreate(&handle), "opening cuBLASLt"));
  return handle;
}

}  // namespace carnot::cuda
