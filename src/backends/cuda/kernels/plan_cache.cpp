// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/plan_cache.hpp"

#include <algorithm>
#include <condition_variable>
#include <thread>

namespace carnot::cuda {
namespace {

struct Slots {
  std::mutex mutex;
  std::condition_variable freed;
  int free = static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1u, 32u));
};
Slots& slots() {
  static auto* all = new Slots;
  return *all;
}

}  // namespace

std::future<void> in_background(std::function<void()> work) {
  auto driver = kernel_driver();
  CUcontext context = nullptr;
  if (!driver || (*driver)->cuCtxGetCurrent(&context) != CUDA_SUCCESS || !context) return {};
  return std::async(std::launch::async, [driver = *driver, context, work = std::move(work)] {
    {
      std::unique_lock lock(slots().mutex);
      slots().freed.wait(lock, [] { return slots().free > 0; });
      --slots().free;
    }
    if (driver->cuCtxSetCurrent(context) == CUDA_SUCCESS) work();
    {
      const std::lock_guard lock(slots().mutex);
      ++slots().free;
    }
    slots().freed.notify_one();
  });
}

}  // namespace carnot::cuda
