// SPDX-License-Identifier: Apache-2.0
// A stand-in for the NVIDIA driver (libcuda.so.1), so that the CUDA backend and engines for it are tested on machines without a GPU.
//
// Stricter than a GPU: work is done as late as it may be (when somebody waits for it, or memory goes), so a missing wait reads old
// bytes; the host cannot touch the device's memory; kernels get no pointer to the host's, but to words that are shared; copies are recorded between the device and
// pinned memory alone. Kernels are CUDA text that nvrtc.cpp compiled for the host. As on a GPU, a kernel that fails ends the use of the
// device for the rest of the process.
#include <cuda.h>
#include <dlfcn.h>

#include <chrono>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "memory.hpp"

using Work = std::function<CUresult()>;

struct CUstream_st {
  std::deque<Work> queue;
  bool records = false, unrecordable = false;
  std::vector<Work> recorded;
};
struct CUgraph_st {
  std::vector<Work> work;
};
struct CUgraphExec_st {
  std::vector<Work> work;
};
struct CUevent_st {
  CUstream stream = nullptr;
  long recorded = 0, reached = 0;  // how often
  std::chrono::steady_clock::time_point when;
};
struct CUmod_st {
  void* library;
};
struct CUfunc_st {
  void* entry;
  bool (*launch)(void*, const int64_t*, const int64_t*, const uint64_t*, size_t, bool);
  size_t parameters;
  bool fibers;
};
struct CUctx_st {};

namespace {

std::recursive_mutex mutex;
carnot::stand_in::Memory memory;
std::set<CUstream> streams;
CUctx_st context;
CUresult broken = CUDA_SUCCESS;  // what ended the use of the device
thread_local CUcontext current = nullptr;

#define ENTER                                                 \
  const std::lock_guard lock(mutex);                          \
  if (current != &context) return CUDA_ERROR_INVALID_CONTEXT; \
  if (broken != CUDA_SUCCESS) return broken

// Values beyond this are addresses, not sizes.
constexpr uint64_t kAddresses = uint64_t{1} << 44;

CUstream stream_of(CUstream s) {
  static CUstream_st null_stream;
  return s ? s : &null_stream;
}

// Does what lies in the queue.
CUresult finish(CUstream s) {
  while (broken == CUDA_SUCCESS && !s->queue.empty()) {
    const Work work = std::move(s->queue.front());
    s->queue.pop_front();
    if (const CUresult r = work(); r != CUDA_SUCCESS) broken = r;
  }
  return broken;
}
CUresult finish_all() {
  finish(stream_of(nullptr));
  for (CUstream s : streams) finish(s);
  return broken;
}

CUresult enqueue(CUstream stream, Work work) {
  CUstream s = stream_of(stream);
  if (s->records) s->recorded.push_back(std::move(work));
  else s->queue.push_back(std::move(work));
  return CUDA_SUCCESS;
}

// The bytes at an address, for the device's work; null: no such memory.
char* opened(CUdeviceptr p, size_t bytes) {
  if (memory.is_device(p)) return memory.open(p, bytes);
  return reinterpret_cast<char*>(p);
}

}  // namespace

extern "C" {

CUresult cuInit(unsigned) { return CUDA_SUCCESS; }
CUresult cuGetErrorString(CUresult result, const char** text) {
  switch (result) {
    case CUDA_ERROR_OUT_OF_MEMORY: *text = "out of memory"; break;
    case CUDA_ERROR_ILLEGAL_ADDRESS: *text = "an illegal memory access was encountered"; break;
    case CUDA_ERROR_LAUNCH_FAILED: *text = "unspecified launch failure"; break;
    case CUDA_ERROR_INVALID_IMAGE: *text = "device kernel image is invalid"; break;
    case CUDA_ERROR_NOT_FOUND: *text = "named symbol not found"; break;
    case CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED: *text = "operation not permitted when stream is capturing"; break;
    case CUDA_ERROR_STREAM_CAPTURE_INVALIDATED: *text = "operation failed due to a previous error during capture"; break;
    default: *text = "error";
  }
  return CUDA_SUCCESS;
}
CUresult cuDriverGetVersion(int* version) { return *version = 13000, CUDA_SUCCESS; }
CUresult cuDeviceGetCount(int* count) { return *count = 1, CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice* device, int ordinal) { return *device = ordinal, CUDA_SUCCESS; }
CUresult cuDeviceGetName(char* name, int size, CUdevice) { return strncpy(name, "stand-in of the tests", static_cast<size_t>(size)), CUDA_SUCCESS; }
CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute what, CUdevice) {
  *value = what == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? 9 : what == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? 0 : 4;
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext* made, CUdevice) { return *made = &context, CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext c) { return current = c, CUDA_SUCCESS; }
CUresult cuCtxGetCurrent(CUcontext* c) { return *c = current, CUDA_SUCCESS; }
CUresult cuCtxGetDevice(CUdevice* device) { return *device = 0, current ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT; }

CUresult cuMemGetInfo(size_t* free, size_t* total) {
  ENTER;
  *free = memory.free_bytes(), *total = carnot::stand_in::Memory::kTotal;
  return CUDA_SUCCESS;
}
CUresult cuMemAlloc(CUdeviceptr* p, size_t bytes) {
  ENTER;
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  return (*p = memory.allocate(bytes)) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
CUresult cuMemFree(CUdeviceptr p) {
  ENTER;
  finish_all();
  return memory.release(p) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemHostAlloc(void** p, size_t bytes, unsigned flags) {
  ENTER;
  return (*p = memory.pin(bytes, flags & CU_MEMHOSTALLOC_DEVICEMAP)) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
CUresult cuMemFreeHost(void* p) {
  ENTER;
  finish_all();
  return memory.unpin(p) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  ENTER;
  if (CUstream s = stream_of(stream); s->records)
    for (const CUdeviceptr p : {to, from})
      if (!memory.is_device(p) && !memory.is_pinned(reinterpret_cast<void*>(p), bytes)) {
        s->unrecordable = true;
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
      }
  return enqueue(stream, [=] {
    char *const a = opened(to, bytes), *const b = opened(from, bytes);
    if (!a || !b) return CUDA_ERROR_ILLEGAL_ADDRESS;
    std::memmove(a, b, bytes);
    return CUDA_SUCCESS;
  });
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char byte, size_t bytes, CUstream stream) {
  ENTER;
  return enqueue(stream, [=] {
    char* const p = memory.is_device(to) ? memory.open(to, bytes) : nullptr;
    if (!p) return CUDA_ERROR_ILLEGAL_ADDRESS;
    std::memset(p, byte, bytes);
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamCreate(CUstream* stream, unsigned) {
  ENTER;
  streams.insert(*stream = new CUstream_st());
  return CUDA_SUCCESS;
}
CUresult cuStreamDestroy(CUstream stream) {
  ENTER;
  finish(stream);
  streams.erase(stream);
  delete stream;
  return CUDA_SUCCESS;
}
CUresult cuStreamSynchronize(CUstream stream) {
  ENTER;
  CUstream s = stream_of(stream);
  if (!s->records) return finish(s);
  s->unrecordable = true;
  return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}
CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode) {
  ENTER;
  if (!stream || stream->records) return CUDA_ERROR_INVALID_VALUE;
  stream->records = true, stream->unrecordable = false;
  stream->recorded.clear();
  return CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(CUstream stream, CUgraph* graph) {
  ENTER;
  if (!stream || !stream->records) return CUDA_ERROR_INVALID_VALUE;
  stream->records = false;
  if (stream->unrecordable) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  *graph = new CUgraph_st{std::move(stream->recorded)};
  stream->recorded.clear();
  return CUDA_SUCCESS;
}
CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
  ENTER;
  *status = stream_of(stream)->records ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_NONE;
  return CUDA_SUCCESS;
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph, unsigned long long) {
  ENTER;
  *exec = new CUgraphExec_st{graph->work};
  return CUDA_SUCCESS;
}
CUresult cuGraphDestroy(CUgraph graph) { return delete graph, CUDA_SUCCESS; }
CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  ENTER;
  for (const Work& work : exec->work) enqueue(stream, work);
  return CUDA_SUCCESS;
}
CUresult cuGraphExecDestroy(CUgraphExec exec) { return delete exec, CUDA_SUCCESS; }

CUresult cuEventCreate(CUevent* event, unsigned) { return *event = new CUevent_st(), CUDA_SUCCESS; }
CUresult cuEventDestroy(CUevent event) {
  ENTER;
  finish_all();
  delete event;
  return CUDA_SUCCESS;
}
CUresult cuEventRecord(CUevent event, CUstream stream) {
  ENTER;
  event->stream = stream_of(stream);
  ++event->recorded;
  return enqueue(stream, [event] {
    ++event->reached;
    event->when = std::chrono::steady_clock::now();
    return CUDA_SUCCESS;
  });
}
CUresult cuEventSynchronize(CUevent event) {
  ENTER;
  return event->stream && event->reached < event->recorded ? finish(event->stream) : CUDA_SUCCESS;
}
CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned) {
  ENTER;
  const long wanted = event->recorded;
  return enqueue(stream, [event, wanted] { return event->reached < wanted ? finish(event->stream) : CUDA_SUCCESS; });
}
CUresult cuEventElapsedTime(float* ms, CUevent from, CUevent to) {
  ENTER;
  if (from->reached == 0 || to->reached == 0) return CUDA_ERROR_NOT_READY;
  *ms = std::chrono::duration<float, std::milli>(to->when - from->when).count();
  return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  ENTER;
  constexpr char kMagic[] = "stand-in code ";
  if (std::strncmp(static_cast<const char*>(image), kMagic, sizeof(kMagic) - 1) != 0) return CUDA_ERROR_INVALID_IMAGE;
  void* const library = dlopen(static_cast<const char*>(image) + sizeof(kMagic) - 1, RTLD_NOW | RTLD_LOCAL);
  if (!library) return CUDA_ERROR_INVALID_IMAGE;
  *module = new CUmod_st{library};
  return CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule module) {
  ENTER;
  finish_all();
  delete module;
  return CUDA_SUCCESS;
}
CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  ENTER;
  const auto symbol = [&](const std::string& s) { return dlsym(module->library, s.c_str()); };
  const auto* parameters = static_cast<const int*>(symbol(std::string(name) + "_parameters"));
  const auto* fibers = static_cast<const bool*>(symbol(std::string(name) + "_fibers"));
  if (!symbol(name) || !parameters || !fibers) return CUDA_ERROR_NOT_FOUND;
  *function = new CUfunc_st{symbol(name), reinterpret_cast<decltype(CUfunc_st::launch)>(symbol("shim_launch")), static_cast<size_t>(*parameters), *fibers};
  return CUDA_SUCCESS;
}
CUresult cuFuncSetAttribute(CUfunction, CUfunction_attribute, int) { return CUDA_SUCCESS; }
CUresult cuFuncGetParamInfo(CUfunction function, size_t index, size_t* offset, size_t* size) {
  if (index >= function->parameters) return CUDA_ERROR_INVALID_VALUE;
  *offset = index * 8;
  *size = 8;
  return CUDA_SUCCESS;
}
CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned, CUstream stream, void** arguments, void**) {
  ENTER;
  if (gx == 0 || gy == 0 || gz == 0 || gy > 65535 || gz > 65535 || bx * by * bz == 0 || bx * by * bz > 1024) return CUDA_ERROR_INVALID_VALUE;
  std::vector<uint64_t> given(255, 0);
  for (size_t i = 0; i < function->parameters; ++i) std::memcpy(&given[i], arguments[i], 8);
  return enqueue(stream, [=] {
    std::vector<uint64_t> values = given;
    for (uint64_t& v : values) {
      const auto number = static_cast<int64_t>(v);
      if (number < 0 || v < kAddresses || memory.is_shared(v)) continue;
      char* const p = memory.is_device(v) ? memory.open(v, 0) : nullptr;
      if (!p) return CUDA_ERROR_ILLEGAL_ADDRESS;
      v = reinterpret_cast<uint64_t>(p);
    }
    const int64_t grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
    return function->launch(function->entry, grid, block, values.data(), function->parameters, function->fibers) ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED;
  });
}

}  // extern "C"
