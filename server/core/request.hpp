// SPDX-License-Identifier: Apache-2.0
// An inference request on its way through the server, whatever protocol it came by.
//
// A protocol derives from Job, fills `request` and hands it to Repository::infer(). The server calls done() exactly
// once, on any thread and perhaps before infer() returns; the job is destroyed soon after. Input data stays where the
// protocol has it and must live as long as the job; output data belongs to the model and is valid during done() only.
#pragma once
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "core/datatype.hpp"
#include "core/fault.hpp"
#include "core/trace.hpp"

namespace carnot::serve {

using Clock = std::chrono::steady_clock;

struct InputTensor {
  std::string name;
  const Datatype* type = nullptr;
  std::vector<int64_t> shape;  // as sent: with the batch dim if the model has one
  const std::byte* data = nullptr;
  size_t bytes = 0;
};

struct OutputRequest {
  std::string name;
  // Where the bytes go instead of the response (shared memory); nullptr: into the response.
  std::byte* target = nullptr;
  size_t target_bytes = 0;
  std::string region;  // its name and where in it, for the answer
  uint64_t region_offset = 0;
  uint32_t classification = 0;  // > 0: "value:index[:label]" of the so many largest, as BYTES
  bool binary = false;          // for the protocol's own use
};

inline constexpr size_t kMaxSequenceId = 128;  // bytes; Triton's limit, too

// The sequence that a request belongs to, for models that batch sequences.
struct SequencePlace {
  std::string id;       // "" = none; numbers as decimal text
  uint64_t number = 0;  // the id, if it came as a number
  bool start = false, end = false;
};

struct InferRequest {
  std::string model;
  int64_t version = -1;  // -1: the newest
  std::string id;
  std::vector<InputTensor> inputs;
  std::vector<OutputRequest> outputs;  // empty: all
  uint64_t priority = 0;               // 0: the model's default; 1 is the highest
  uint64_t timeout_us = 0;             // in the queue; 0: the model's
  SequencePlace sequence;
  bool shared_memory = false;           // some tensor lies where the client can change it meanwhile
  std::shared_ptr<const void> storage;  // keeps shared memory mapped while the request lives
};

struct OutputTensor {
  const std::string* name = nullptr;
  const Datatype* type = nullptr;
  std::vector<int64_t> shape;
  const std::byte* data = nullptr;  // of an output that went to shared memory: nullptr
  size_t bytes = 0;
  const OutputRequest* request = nullptr;  // nullptr: all were asked for
};

struct InferReply {
  const Fault* fault = nullptr;  // set: nothing else is
  const std::string* model = nullptr;
  int64_t version = 0;
  std::vector<OutputTensor> outputs;
};

// The moments of one run of a batch; those of a job that has not run are zero.
struct RunTimes {
  Clock::time_point start, input_end, infer_end, end;
  int64_t batch = 0;  // items of all requests in it
};

// Tensors of a model that its clients do not see: the controls and states of sequences. Destroyed with its job, once
// the run is over and its instance free again.
class Hidden {
 public:
  virtual ~Hidden() = default;
  struct Result {
    std::vector<std::byte> data;
    std::vector<int64_t> shape;
  };
  std::vector<InputTensor> inputs;  // in the order of Runner's hidden inputs
  std::vector<Result> results;      // filled by a run that succeeds, in the order of Runner's hidden outputs
  bool succeeded = false;
};

// Sees the outputs of a good answer before they go to the client (before classification).
class ReplySink {
 public:
  virtual ~ReplySink() = default;
  virtual void take(const InferReply& reply) = 0;
};

// Destroyed when the run is over and its instance free again.
class Job {
 public:
  Job() = default;
  virtual ~Job() {
    if (in_flight) --*in_flight;
  }
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual void done(const InferReply& reply) = 0;
  // Asked before the job is run: true drops it (a client that hung up). done() is called all the same.
  virtual bool cancelled() const { return false; }

  InferRequest request;
  Clock::time_point received = Clock::now();

  // The server's notes.
  std::atomic<int64_t>* in_flight = nullptr;  // counted down at the end
  int64_t batch = 1;                          // items of the batch that this request brings
  size_t level = 0;                           // of the queue it stands in
  Clock::time_point queued, deadline = Clock::time_point::max();
  std::unique_ptr<Hidden> hidden;
  std::unique_ptr<ReplySink> sink;
  std::shared_ptr<const void> owner;  // the model version: lives until its last request is answered
  // Of each model input in the model's order: its position in request.inputs, or -1 if left out.
  std::vector<int> order;
  RunTimes times;                       // set before done()
  std::unique_ptr<TraceContext> trace;  // of the caller, or of a trace that begins here; mostly there is none
  bool exported = false;                // its spans go to the collector
};

// The text before an error that belongs to one request.
inline std::string id_prefix(const std::string& id) {
  return "[request id: " + (id.empty() ? "<id_unknown>" : id) + "] ";
}

}  // namespace carnot::serve
