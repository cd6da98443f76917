// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/libraries/cudnn.hpp"

#include <map>
#include <mutex>

#include "backends/cuda/libraries/driver.hpp"

namespace carnot::cuda {
namespace {

Result<const Cudnn*> load() {
  static const LibraryNames names{"cuDNN, which computes convolutions and attention,", {"libcudnn.so.9", "libcudnn_graph.so.9"},
                                  "install cudnn9-cuda-13 (NVIDIA's Debian repository) or nvidia-cudnn-cu13 (PyPI)"};
  CARNOT_ASSIGN(void* library, open_library(names));
  static Cudnn table;
  CARNOT_CUDNN_FUNCTIONS(CARNOT_LIBRARY_LOOKUP)
  return &table;
}

}  // namespace

Result<const Cudnn*> cudnn() {
  static const Result<const Cudnn*> loaded = load();
  return loaded;
}

Status check(cudnnStatus_t status, std::string_view what) {
  if (status == CUDNN_STATUS_SUCCESS) return {};
  char detail[512] = "";
  const char* text = "unknown";
  if (auto library = cudnn(); library) {
    text = (*library)->cudnnGetErrorString(status);
    (*library)->cudnnGetLastErrorString(detail, sizeof detail);
  }
  Code code = Code::kInternal;
  if (CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED || CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_BAD_PARAM) code = Code::kUnsupported;
  if (status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED || status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED) code = Code::kOutOfMemory;
  return fail(code, "{}: {}{}{}", what, text, detail[0] ? ": " : "", detail);
}

namespace {
struct HandlePool {
  std::mutex mutex;
  std::map<int, std::vector<cudnnHandle_t>> free;  // by device
};
// Never destroyed: the driver may be gone when static objects are.
HandlePool& handle_pool() {
  static auto* pool = new HandlePool;
  return *pool;
}
}  // namespace

Result<HandleLease> HandleLease::take() {
  CARNOT_ASSIGN(const Cudnn* library, cudnn());
  CARNOT_ASSIGN(const int device, current_device());
  {
    const std::lock_guard lock(handle_pool().mutex);
    auto& free = handle_pool().free[device];
    if (!free.empty()) {
      HandleLease lease(free.back(), device);
      free.pop_back();
      return lease;
    }
  }
  cudnnHandle_t handle = nullptr;
  CARNOT_RETURN_IF_ERROR(check(library->cudnnCreate(&handle), "opening cuDNN"));
  return HandleLease(handle, device);
}

HandleLease::~HandleLease() {
  if (!handle_) return;
  const std::lock_guard lock(handle_pool().mutex);
  handle_pool().free[device_].push_back(handle_);
}

Result<cudnnDataType_t> cudnn_type(DType type) {
  switch (type) {
    case DType::kF32: return CUDNN_DATA_FLOAT;
    case DType::kF16: return CUDNN_DATA_HALF;
    case DType::kBF16: return CUDNN_DATA_BFLOAT16;
    default: return fail(Code::kUnsupported, "cuDNN: tensors of {}", dtype_name(type));
  }
}

Descriptor::Descriptor(const Cudnn& library, cudnnBackendDescriptorType_t type) : library_(&library) {
  status_ = check(library.cudnnBackendCreateDescriptor(type, &descriptor_), "a cuDNN descriptor");
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(library_, other.library_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(status_, other.status_);
  return *this;
}

Descriptor::~Descriptor() {
  if (descriptor_) library_->cudnnBackendDestroyDescriptor(descriptor_);
}

Descriptor& Descriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  if (status_) status_ = check(library_->cudnnBackendSetAttribute(descriptor_, name, type, count, values), fmt::format("cuDNN attribute {}", static_cast<int>(name)));
  return *this;
}

std::vector<Descriptor> Descriptor::descriptors(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type, int64_t most) const {
  std::vector<Descriptor> all;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int64_t i = 0; i < most; ++i) {
    all.emplace_back(*library_, type);
    raw.push_back(all.back().get());
  }
  int64_t found = 0;
  if (library_->cudnnBackendGetAttribute(descriptor_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, &found, raw.data()) != CUDNN_STATUS_SUCCESS) found = 0;
  all.resize(static_cast<size_t>(std::min(found, most)));
  return all;
}

Status Descriptor::finish(std::string_view what) {
  if (!status_) return status_.error();
  return check(library_->cudnnBackendFinalize(descriptor_), what);
}

}  // namespace carnot::cuda
