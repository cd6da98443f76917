// SPDX-License-Identifier: Apache-2.0
// The door of libcarnot_cuda.so: NVIDIA GPUs through the driver's interface, in each device's primary context.
#include "device/backend.hpp"

#include <algorithm>
#include <cstring>

#include "backends/cuda/launch.hpp"
#include "backends/cuda/stream.hpp"

namespace carnot::cuda {
namespace {

// Makes the device's context current before a kernel that takes it from the thread.
class InContext final : public Kernel {
 public:
  InContext(const Api& api, CUcontext context, std::unique_ptr<Kernel> kernel) : api_(api), context_(context), kernel_(std::move(kernel)) {}
  ~InContext() override {
    api_.cuCtxSetCurrent(context_);
    kernel_.reset();
  }
  Status check_operands(size_t inputs, size_t outputs) const override { return kernel_->check_operands(inputs, outputs); }
  size_t workspace(std::span<const TensorView> in, std::span<const TensorView> out, int threads) const override {
    api_.cuCtxSetCurrent(context_);
    return kernel_->workspace(in, out, threads);
  }
  Status run(const KernelArgs& args) const override {
    api_.cuCtxSetCurrent(context_);
    return kernel_->run(args);
  }

 private:
  const Api& api_;
  CUcontext context_;
  std::unique_ptr<Kernel> kernel_;
};

class CudaDevice final : public device::Device {
 public:
  CudaDevice(const Api& api, CUdevice device, CUcontext context) : api_(api), device_(device), context_(context) {}

  Result<device::DeviceInfo> info() override {
    CARNOT_CUDA_CALL(api_.cuCtxSetCurrent(context_), "the device's context");
    device::DeviceInfo info;
    char name[256] = {};
    int major = 0, minor = 0, version = 0;
    size_t free = 0, total = 0;
    CARNOT_CUDA_CALL(api_.cuDeviceGetName(name, sizeof(name) - 1, device_), "asking the device");
    CARNOT_CUDA_CALL(api_.cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device_), "asking the device");
    CARNOT_CUDA_CALL(api_.cuDeviceGetAttribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device_), "asking the device");
    CARNOT_CUDA_CALL(api_.cuDeviceGetAttribute(&info.multiprocessors, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device_), "asking the device");
    CARNOT_CUDA_CALL(api_.cuDriverGetVersion(&version), "asking the driver");
    CARNOT_CUDA_CALL(api_.cuMemGetInfo(&free, &total), "asking the device");
    info.name = name;
    info.architecture = fmt::format("sm_{}{}", major, minor);
    info.versions = fmt::format("driver {}", version);
    info.memory_bytes = total;
    info.free_bytes = free;
    return info;
  }

  Result<device::Memory> allocate(size_t bytes, device::Place place) override {
    CARNOT_CUDA_CALL(api_.cuCtxSetCurrent(context_), "the device's context");
    const size_t wanted = std::max<size_t>(bytes, 1);
    if (place != device::Place::kDevice) {
      void* host = nullptr;
      const unsigned shared = place == device::Place::kShared ? CU_MEMHOSTALLOC_DEVICEMAP : 0;
      CARNOT_CUDA_CALL(api_.cuMemHostAlloc(&host, wanted, CU_MEMHOSTALLOC_PORTABLE | shared), fmt::format("pinning {} bytes of host memory", bytes));
      if (shared) std::memset(host, 0, wanted);
      return device::Memory(host, [this](void* p) {
        api_.cuCtxSetCurrent(context_);
        api_.cuMemFreeHost(p);
      });
    }
    CUdeviceptr memory = 0;
    if (const CUresult result = api_.cuMemAlloc(&memory, wanted); result != CUDA_SUCCESS) {
      size_t free = 0, total = 0;
      api_.cuMemGetInfo(&free, &total);
      return std::move(failed(result, fmt::format("allocating {} bytes on the device, where {} of {} are free", bytes, free, total)).error());
    }
    return device::Memory(reinterpret_cast<void*>(memory), [this](void* p) {
      api_.cuCtxSetCurrent(context_);
      api_.cuMemFree(reinterpret_cast<CUdeviceptr>(p));
    });
  }

  Result<std::unique_ptr<device::Stream>> make_stream() override { return cuda::make_stream(api_, context_); }
  Result<std::unique_ptr<device::Stream>> wrap_stream(void* native) override { return cuda::wrap_stream(api_, context_, static_cast<CUstream>(native)); }
  Result<std::unique_ptr<device::Event>> make_event() override { return cuda::make_event(api_, context_); }

  Result<std::unique_ptr<Kernel>> make_kernel(std::string_view id, const Attrs& params, std::span<const std::byte> code) override {
    CARNOT_CUDA_CALL(api_.cuCtxSetCurrent(context_), "the device's context");
    std::unique_ptr<Kernel> kernel;
    if (id == "cuda.launch") {
      CARNOT_ASSIGN(auto module, modules_.load(api_, context_, code));
      CARNOT_ASSIGN(kernel, make_launch(api_, std::move(module), params));
    } else {
      const KernelRow* row = find_kernel(id);
      if (!row) return fail(Code::kNotFound, "this runtime has no kernel '{}'; build the engine again with this version or update the runtime", id);
      CARNOT_ASSIGN(kernel, row->make(params));
    }
    return std::unique_ptr<Kernel>(std::make_unique<InContext>(api_, context_, std::move(kernel)));
  }

 private:
  const Api& api_;
  CUdevice device_;
  CUcontext context_;  // the primary one, kept as long as the process lives
  Modules modules_;
};

class CudaBackend final : public device::Backend {
 public:
  int device_count() override {
    auto table = api();
    int count = 0;
    return table && (*table)->cuDeviceGetCount(&count) == CUDA_SUCCESS ? count : 0;
  }
  Result<std::shared_ptr<device::Device>> open(int ordinal) override {
    CARNOT_ASSIGN(const Api* table, api());
    const std::lock_guard lock(mutex_);
    if (auto it = devices_.find(ordinal); it != devices_.end()) return it->second;
    int count = 0;
    CARNOT_CUDA_CALL(table->cuDeviceGetCount(&count), "asking for devices");
    if (ordinal < 0 || ordinal >= count) return fail(Code::kNotFound, "there is no device 'cuda:{}': the driver sees {} (CUDA_VISIBLE_DEVICES may hide some)", ordinal, count);
    CUdevice device = 0;
    CUcontext context = nullptr;
    CARNOT_CUDA_CALL(table->cuDeviceGet(&device, ordinal), "opening the device");
    CARNOT_CUDA_CALL(table->cuDevicePrimaryCtxRetain(&context, device), "opening the device");
    std::shared_ptr<device::Device> opened = std::make_shared<CudaDevice>(*table, device, context);
    devices_[ordinal] = opened;
    return opened;
  }

 private:
  std::mutex mutex_;
  std::map<int, std::shared_ptr<device::Device>> devices_;
};

}  // namespace
}  // namespace carnot::cuda

extern "C" {
__attribute__((visibility("default"))) const char* carnot_backend_version() { return carnot::device::kBackendVersion; }
__attribute__((visibility("default"))) carnot::device::Backend* carnot_backend() {
  // Never destroyed: at the end of the process the driver may be gone before it.
  static auto* const backend = new carnot::cuda::CudaBackend();
  return backend;
}
}
