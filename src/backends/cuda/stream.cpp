// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/stream.hpp"

namespace carnot::cuda {
namespace {

class CudaRecording final : public device::Recording {
 public:
  CudaRecording(const Api& api, CUcontext context, CUgraphExec exec) : api_(api), context_(context), exec_(exec) {}
  ~CudaRecording() override {
    api_.cuCtxSetCurrent(context_);
    api_.cuGraphExecDestroy(exec_);
  }
  CUgraphExec get() const { return exec_; }

 private:
  const Api& api_;
  CUcontext context_;
  CUgraphExec exec_;
};

class CudaStream final : public device::Stream {
 public:
  CudaStream(const Api& api, CUcontext context, CUstream stream, bool owned) : api_(api), context_(context), stream_(stream), owned_(owned) {}
  ~CudaStream() override {
    if (!owned_) return;
    api_.cuCtxSetCurrent(context_);
    api_.cuStreamDestroy(stream_);
  }
  void* native() const override { return stream_; }

  Status copy(void* to, const void* from, size_t bytes) override {
    if (bytes == 0) return {};
    CARNOT_CUDA_CALL(api_.cuCtxSetCurrent(context_), "the device's context");
    CARNOT_CUDA_CALL(api_.cuMemcpyAsync(reinterpret_cast<CUdeviceptr>(to), reinterpret_cast<CUdeviceptr>(from), bytes, stream_), "copying");
    return {};
  }
  Status fill(void* to, int byte, size_t bytes) override {
    if (bytes == 0) return {};
    CARNOT_CUDA_CALL(api_.cuCtxSetCurrent(context_), "the device's context");
    CARNOT_CUDA_CALL(api_.cuMemsetD8Async(reinterpret_cast<CUdeviceptr>(to), static_cast<unsigned char>(byte), bytes, stream_), "filling memory");
    return {};
  }
  Status wait() override {
    CARNOT_CUDA_CALL(api_.cuCtxSetCurrent(context_), "the device's context");
    CARNOT_CUDA_CALL(api_.cuStreamSynchronize(stream_), "work on the device");
    return {};
  }
  // Relaxed: libraries may allocate and load code while other threads record.
  Status begin_recording() override {
    CARNOT_CUDA_CALL(api_.cuCtxSetCurrent(context_), "the device's context");
    CARNOT_CUDA_CALL(api_.cuStreamBeginCapture(stream_, CU_STREAM_CAPTURE_MODE_RELAXED), "recording");
    return {};
  }
  Result<std::unique_ptr<device::Recording>> end_recording() override {
    CUgraph graph = nullptr;
    CARNOT_CUDA_CALL(api_.cuStreamEndCapture(stream_, &graph), "recording");
    CUgraphExec exec = nullptr;
    const CUresult result = api_.cuGraphInstantiateWithFlags(&exec, graph, 0);
    api_.cuGraphDestroy(graph);
    CARNOT_CUDA_CALL(result, "preparing a recording");
    return std::unique_ptr<device::Recording>(std::make_unique<CudaRecording>(api_, context_, exec));
  }
  Status replay(const device::Recording& recording) override {
    CARNOT_CUDA_CALL(api_.cuCtxSetCurrent(context_), "the device's context");
    CARNOT_CUDA_CALL(api_.cuGraphLaunch(static_cast<const CudaRecording&>(recording).get(), stream_), "replaying a recording");
    return {};
  }

 private:
  const Api& api_;
  CUcontext context_;
  CUstream stream_;
  bool owned_;
};

class CudaEvent final : public device::Event {
 public:
  CudaEvent(const Api& api, CUcontext context, CUevent event) : api_(api), context_(context), event_(event) {}
  ~CudaEvent() override {
    api_.cuCtxSetCurrent(context_);
    api_.cuEventDestroy(event_);
  }
  Status record(device::Stream& stream) override {
    CARNOT_CUDA_CALL(api_.cuCtxSetCurrent(context_), "the device's context");
    CARNOT_CUDA_CALL(api_.cuEventRecord(event_, static_cast<CUstream>(stream.native())), "recording an event");
    return {};
  }
  Status wait() override {
    CARNOT_CUDA_CALL(api_.cuEventSynchronize(event_), "work on the device");
    return {};
  }
  Status wait_on(device::Stream& stream) override {
    CARNOT_CUDA_CALL(api_.cuStreamWaitEvent(static_cast<CUstream>(stream.native()), event_, 0), "waiting for an event");
    return {};
  }
  Result<double> milliseconds_since(const device::Event& earlier) override {
    float ms = 0;
    CARNOT_CUDA_CALL(api_.cuEventElapsedTime(&ms, static_cast<const CudaEvent&>(earlier).event_, event_), "timing");
    return static_cast<double>(ms);
  }

 private:
  const Api& api_;
  CUcontext context_;
  CUevent event_;
};

}  // namespace

Result<std::unique_ptr<device::Stream>> make_stream(const Api& api, CUcontext context) {
  CARNOT_CUDA_CALL(api.cuCtxSetCurrent(context), "the device's context");
  CUstream stream = nullptr;
  CARNOT_CUDA_CALL(api.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), "making a stream");
  return std::unique_ptr<device::Stream>(std::make_unique<CudaStream>(api, context, stream, true));
}

std::unique_ptr<device::Stream> wrap_stream(const Api& api, CUcontext context, CUstream stream) {
  return std::make_unique<CudaStream>(api, context, stream, false);
}

Result<std::unique_ptr<device::Event>> make_event(const Api& api, CUcontext context) {
  CARNOT_CUDA_CALL(api.cuCtxSetCurrent(context), "the device's context");
  CUevent event = nullptr;
  CARNOT_CUDA_CALL(api.cuEventCreate(&event, CU_EVENT_DEFAULT), "making an event");
  return std::unique_ptr<device::Event>(std::make_unique<CudaEvent>(api, context, event));
}

}  // namespace carnot::cuda
