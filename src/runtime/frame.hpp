// SPDX-License-Identifier: Apache-2.0
// One running instance of a plan: its symbols, its memory, its resolved commands. A session has one for the network and one for each
// body it has entered. Used by one thread at a time.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/threads.hpp"
#include "runtime/memory_report.hpp"
#include "runtime/program.hpp"

namespace carnot::runtime {

using Symbols = std::map<std::string, int64_t, std::less<>>;

// What all frames of a session share.
struct Context {
  std::shared_ptr<const LoadedEngine> engine;
  std::shared_ptr<ThreadPool> pool;
  uint64_t memory_limit = 0;  // bytes, 0: none
  uint64_t memory_used = 0;
  bool profile = false;
  // Sees the results of each command right after it has run; later commands may write over them. Empty: nobody looks.
  std::function<void(const engine::Plan& plan, size_t command, std::span<const TensorView> results)> observe = {};
  // Sessions of a device; null else.
  std::shared_ptr<const OnDevice> on_device;
  std::unique_ptr<device::Stream> stream;
  bool dirty = false;  // work of the stream reads or writes the host's memory, so the host has to wait before it does
  bool asynchronous = false;  // runs return when their work is enqueued
  bool busy = false;   // the stream has work that nobody waited for
  std::vector<bool> input_on_device, output_on_device;  // where the caller's memory of the network's inputs and outputs lies

  // Waits for the stream. An index that a kernel found outside of what it selects from is an error here.
  Status wait();
  // The word for the complaint of a command, -1: null.
  Result<int64_t*> complaint(int32_t number);

  device::Memory complaints;  // a word for each of the engine's complainers, once one has run
};

// Memory that grows, on the host (pinned where a device copies from it) or on the device.
enum class Where { kHost, kPinned, kDevice };
struct Block {
  AlignedPtr host;
  device::Memory other;
  size_t capacity = 0;
  void* get() const { return other ? other.get() : host.get(); }
};

struct Timing {
  int64_t nanoseconds = 0;
  int64_t calls = 0;
};

class Frame {
 public:
  Frame(Context& context, size_t plan);
  ~Frame();

  // Takes the memory that the largest inputs of the engine's ranges need, so that no run within them takes more. Does nothing where an
  // input has no bounds. What only a run can size (data-dependent results, bodies) still grows as it comes. Before the first run.
  Status reserve();
  // Runs the plan. `bound[i]`, if not null, is memory of `bound_bytes[i]` bytes that receives output i. Inputs are read in place.
  // `outer`: symbols of the enclosing frame (bodies), else null.
  Status run(std::span<const TensorView> inputs, std::span<void* const> bound, std::span<const size_t> bound_bytes, const Symbols* outer);
  // Output i of the last run; valid until the next.
  const TensorView& output(size_t i) const;
  const std::vector<Timing>& timings() const { return timings_; }
  // What a run with inputs of these shapes would take (their data is not looked at). For a device's engine without the device too, whose
  // kernels' scratch is then not counted.
  Result<MemoryReport> report_memory(std::span<const TensorView> inputs);

 private:
  friend class RefContext;
  struct Ready;     // a command with its views
  struct Resolved;  // everything that depends on the shapes alone
  struct Segment;   // consecutive commands of the device
  // Where buffers lie at the largest sizes of the ranges, and what that takes; empty: nothing is reserved.
  struct Reservation {
    std::vector<uint64_t> bytes, offset;  // by buffer
    uint64_t arena_bytes = 0, device_arena_bytes = 0;
  };

  Status check_ranges(std::span<const TensorView> inputs) const;
  Status bind_inputs(std::span<const TensorView> inputs, const Symbols* outer, Symbols& symbols) const;
  Result<Resolved*> resolve(std::span<const TensorView> inputs, const Symbols* outer);
  static std::optional<uint64_t> extent(const engine::Buffer& buffer, const Dims& dims);
  Error misfit(const Resolved& resolved, size_t buffer) const;
  Status place_buffers(Resolved& resolved);
  Status prepare_commands(Resolved& resolved);
  Status run_command(size_t index);
  Status run_kernel(size_t index);
  Status run_reference(size_t index);
  Status size_outputs(size_t index, bool by_inference);
  Status give_memory(size_t buffer, const Dims& dims);
  Status bind_symbols(size_t buffer, const Dims& dims);
  Result<ops::Facts> infer_now(size_t index) const;
  Status grow(Block& block, size_t wanted, Where where);
  Status grow_all(const Resolved& resolved);
  void set_views(const Resolved& resolved);
  Status run_commands();
  Status finish_outputs(std::span<void* const> bound, std::span<const size_t> bound_bytes, const std::vector<bool>& direct);
  const device::Kernel* kernel_of(size_t command) const;
  Status timed(size_t index);
  Status timed_on_device(size_t index);
  // frame_device.cpp
  Status take_inputs(std::span<const TensorView> inputs);
  Status run_copy(size_t index);
  Status run_on_device(size_t index);
  Status run_segment(Segment& segment);
  void find_segments(Resolved& resolved) const;
  bool given_on_device(size_t input) const;
  bool taken_on_device(size_t output) const;
  bool main() const { return index_ == 0; }
  Frame& body(size_t command, size_t k);

  Context& context_;
  const size_t index_;  // of the plan
  const LoadedPlan& plan_;
  std::map<std::vector<int64_t>, std::unique_ptr<Resolved>> cache_;
  Resolved* current_ = nullptr;
  Symbols symbols_;               // those of this run, run-time ones included
  std::vector<TensorView> views_;  // by buffer
  std::vector<Block> owned_;       // by buffer: memory of those whose size only the run tells, and of inputs that come from the device
  Block arena_, workspace_, device_arena_, device_workspace_, staging_;
  std::vector<size_t> staging_offset_;  // by input
  Reservation reserved_;
  uint64_t generation_ = 0;             // counts how often blocks that recordings point into have moved
  std::map<std::pair<size_t, size_t>, std::unique_ptr<Frame>> bodies_;
  std::vector<Timing> timings_;
};

}  // namespace carnot::runtime
