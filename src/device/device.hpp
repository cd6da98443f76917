// SPDX-License-Identifier: Apache-2.0
// What a backend that has its own memory gives the runtime: memory, queues of work, recordings of work, loaded code, kernels.
//
// A backend is a shared library that is opened when an engine asks for it (device/backend.hpp). What it must keep is tested by
// tests/device, on any device and, without one, on a stand-in for the vendor's driver.
// Everything here may be used from several threads, except a Stream: by one at a time.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/attr.hpp"
#include "base/result.hpp"
#include "device/kernel.hpp"

namespace carnot::device {

// Memory that goes back to its device when the last owner lets go.
using Memory = std::shared_ptr<void>;

enum class Place : uint8_t {
  kDevice = 0,  // the device's own; the host may not touch it
  kPinned = 1,  // the host's, which the device copies from and to without staging
  kShared = 2,  // the host's, zeros at first, which kernels may write to; for words, not for tensors
};

// Work that was recorded once and is replayed with one call. Pointers and sizes are those of the recording.
class Recording {
 public:
  virtual ~Recording() = default;
};

// A queue: work runs in the order it was enqueued; nothing but wait() waits for it.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual void* native() const = 0;  // CUstream; null where there is none
  virtual Status copy(void* to, const void* from, size_t bytes) = 0;  // any direction; memory that is not pinned may make it wait
  virtual Status fill(void* to, int byte, size_t bytes) = 0;
  virtual Status wait() = 0;
  // Between the two, work is recorded instead of run. What cannot be recorded is an error of end_recording().
  virtual Status begin_recording() = 0;
  virtual Result<std::unique_ptr<Recording>> end_recording() = 0;
  virtual Status replay(const Recording& recording) = 0;

  // Where the kernels that are enqueued next store an index that lies outside of what it selects from: a word of shared memory, zero until
  // then. Null: nobody listens.
  void set_complaint(int64_t* word) { complaint_ = word; }
  int64_t* complaint() const { return complaint_; }

 private:
  int64_t* complaint_ = nullptr;
};

// A point in a stream's work.
class Event {
 public:
  virtual ~Event() = default;
  virtual Status record(Stream& stream) = 0;
  virtual Status wait() = 0;                        // the host waits
  virtual Status wait_on(Stream& stream) = 0;       // the stream's later work waits
  virtual Result<double> milliseconds_since(const Event& earlier) = 0;  // both reached
};

struct DeviceInfo {
  std::string name;          // "NVIDIA H100 80GB HBM3"
  std::string architecture;  // "sm_90"; "" on the host
  std::string versions;      // driver and libraries, part of the key of timings
  uint64_t memory_bytes = 0, free_bytes = 0;
  int multiprocessors = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual Result<DeviceInfo> info() = 0;
  virtual Result<Memory> allocate(size_t bytes, Place place) = 0;  // 256-byte aligned; errors tell what was free
  virtual Result<std::unique_ptr<Stream>> make_stream() = 0;
  virtual Result<std::unique_ptr<Stream>> wrap_stream(void* native) = 0;  // the caller's; not destroyed
  virtual Result<std::unique_ptr<Event>> make_event() = 0;
  // An instance of kernel `id` ("cuda.launch", "cuda.gemm") from a command's parameters. `code` is the engine's code blob that the
  // parameters name (cubin or PTX), empty if none. One instance serves all sessions. Unknown ids and bad parameters are errors.
  virtual Result<std::unique_ptr<Kernel>> make_kernel(std::string_view id, const Attrs& params, std::span<const std::byte> code) = 0;
};

}  // namespace carnot::device
