// SPDX-License-Identifier: Apache-2.0
#include "device_copy.hpp"

#include <dlfcn.h>

#include <map>
#include <mutex>

namespace carnot::triton {
namespace {

// The driver's functions by their published signatures; 0 is success. Addresses are unified: a copy finds out itself
// which side lies where.
struct Driver {
  using Context = void*;
  int (*init)(unsigned) = nullptr;
  int (*device_get)(int*, int) = nullptr;
  int (*retain)(Context*, int) = nullptr;
  int (*push)(Context) = nullptr;
  int (*pop)(Context*) = nullptr;
  int (*copy)(uintptr_t, uintptr_t, size_t) = nullptr;
  bool usable = false;
};

const Driver& driver() {
  static const Driver kOpened = [] {
    Driver d;
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return d;
    const auto get = [&](auto* function, const char* name) {
      *function = reinterpret_cast<std::remove_pointer_t<decltype(function)>>(dlsym(library, name));
      return *function != nullptr;
    };
    d.usable = get(&d.init, "cuInit") && get(&d.device_get, "cuDeviceGet") &&
               get(&d.retain, "cuDevicePrimaryCtxRetain") && get(&d.push, "cuCtxPushCurrent_v2") &&
               get(&d.pop, "cuCtxPopCurrent_v2") && get(&d.copy, "cuMemcpy") && d.init(0) == 0;
    return d;
  }();
  return kOpened;
}

// The GPU's primary context, which the runtime of CUDA and our engines use too. Null: none to be had.
Driver::Context context_of(int64_t device) {
  static std::mutex mutex;
  static std::map<int64_t, Driver::Context> known;
  std::lock_guard lock(mutex);
  const auto [it, added] = known.try_emplace(device, nullptr);
  int handle = 0;
  if (added && driver().device_get(&handle, static_cast<int>(device)) == 0) driver().retain(&it->second, handle);
  return it->second;
}

}  // namespace

MaybeFailure device_copy(void* to, const void* from, size_t bytes, int64_t device) {
  const Driver& d = driver();
  if (!d.usable)
    return failure(TRITONSERVER_ERROR_UNSUPPORTED, "the server gave memory of a GPU, and libcuda.so.1 cannot be used");
  const Driver::Context context = context_of(device);
  if (!context || d.push(context) != 0)
    return failure(TRITONSERVER_ERROR_INTERNAL, "GPU {} has no context to copy in", device);
  const int status = d.copy(reinterpret_cast<uintptr_t>(to), reinterpret_cast<uintptr_t>(from), bytes);
  Driver::Context popped;
  d.pop(&popped);
  if (status == 0) return std::nullopt;
  return failure(TRITONSERVER_ERROR_INTERNAL, "a copy of {} bytes from or to GPU {} failed (driver error {})", bytes,
                 device, status);
}

}  // namespace carnot::triton
