// SPDX-License-Identifier: Apache-2.0
// cuDNN's graph API: descriptors that hold attributes, and plans that run a graph of operations.
#pragma once
#include <cudnn_graph.h>

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "backends/cuda/libraries/library.hpp"
#include "base/dtype.hpp"

namespace carnot::cuda {

#define CARNOT_CUDNN_FUNCTIONS(X)                                                                                             \
  X(cudnnGetVersion) X(cudnnCreate) X(cudnnSetStream) X(cudnnGetErrorString) X(cudnnGetLastErrorString)                        \
  X(cudnnBackendCreateDescriptor) X(cudnnBackendDestroyDescriptor) X(cudnnBackendFinalize) X(cudnnBackendSetAttribute)         \
  X(cudnnBackendGetAttribute) X(cudnnBackendExecute)
CARNOT_LIBRARY_TABLE(Cudnn, CARNOT_CUDNN_FUNCTIONS)

// Looked up once per process.
Result<const Cudnn*> cudnn();

// A handle of the calling thread's device, for the owner alone. Goes back to a pool: opening one takes milliseconds.
class HandleLease {
 public:
  static Result<HandleLease> take();
  HandleLease(HandleLease&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)), device_(other.device_) {}
  ~HandleLease();
  cudnnHandle_t get() const { return handle_; }

 private:
  HandleLease(cudnnHandle_t handle, int device) : handle_(handle), device_(device) {}
  cudnnHandle_t handle_;
  int device_;
};

Result<cudnnDataType_t> cudnn_type(DType type);

// A backend descriptor. Setters remember the first failure; finish() tells it, so that code that builds graphs reads as a list.
class Descriptor {
 public:
  Descriptor() = default;
  Descriptor(const Cudnn& library, cudnnBackendDescriptorType_t type);
  Descriptor(Descriptor&& other) noexcept { *this = std::move(other); }
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();

  cudnnBackendDescriptor_t get() const { return descriptor_; }
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void* values);
  Descriptor& set(cudnnBackendAttributeName_t name, int64_t value) { return set(name, CUDNN_TYPE_INT64, 1, &value); }
  Descriptor& set(cudnnBackendAttributeName_t name, std::span<const int64_t> values) {
    return set(name, CUDNN_TYPE_INT64, static_cast<int64_t>(values.size()), values.data());
  }
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnDataType_t value) { return set(name, CUDNN_TYPE_DATA_TYPE, 1, &value); }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& other) {
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other.descriptor_);
  }
  Descriptor& set_double(cudnnBackendAttributeName_t name, double value) { return set(name, CUDNN_TYPE_DOUBLE, 1, &value); }
  Descriptor& set_bool(cudnnBackendAttributeName_t name, bool value) { return set(name, CUDNN_TYPE_BOOLEAN, 1, &value); }
  // Elements of an attribute of descriptors that this one hands out: as many as there are, at most `most`.
  std::vector<Descriptor> descriptors(cudnnBackendAttributeName_t name, cudnnBackendDescriptorType_t type, int64_t most) const;
  template <typename T>
  std::vector<T> values(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t most) const {
    std::vector<T> all(static_cast<size_t>(most));
    int64_t found = 0;
    if (library_->cudnnBackendGetAttribute(descriptor_, name, type, most, &found, all.data()) != CUDNN_STATUS_SUCCESS) found = 0;
    all.resize(static_cast<size_t>(found));
    return all;
  }
  // Finalizes. kUnsupported where cuDNN says that it does not do this.
  Status finish(std::string_view what);
  // The first failure so far.
  const Status& status() const { return status_; }

 private:
  const Cudnn* library_ = nullptr;
  cudnnBackendDescriptor_t descriptor_ = nullptr;
  Status status_;
};

Status check(cudnnStatus_t status, std::string_view what);

}  // namespace carnot::cuda
