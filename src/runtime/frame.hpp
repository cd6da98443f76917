// SPDX-License-Identifier: Apache-2.0
// One running instance of a plan: its symbols, its memory, its resolved commands. A session has one for the network and one for each
// body it has entered. Used by one thread at a time.
#pragma once
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/threads.hpp"
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
};

struct Timing {
  int64_t nanoseconds = 0;
  int64_t calls = 0;
};

class Frame {
 public:
  Frame(Context& context, size_t plan);
  ~Frame();

  // Runs the plan. `bound[i]`, if not null, is memory of `bound_bytes[i]` bytes that receives output i. Inputs are read in place.
  // `outer`: symbols of the enclosing frame (bodies), else null.
  Status run(std::span<const TensorView> inputs, std::span<void* const> bound, std::span<const size_t> bound_bytes, const Symbols* outer);
  // Output i of the last run; valid until the next.
  const TensorView& output(size_t i) const;
  const std::vector<Timing>& timings() const { return timings_; }

 private:
  friend class RefContext;
  struct Ready;     // a command with its views
  struct Resolved;  // everything that depends on the shapes alone
  struct Owned {    // memory of a buffer whose size only the run tells
    AlignedPtr memory;
    size_t capacity = 0;
  };

  Status check_inputs(std::span<const TensorView> inputs) const;
  Status bind_inputs(std::span<const TensorView> inputs, const Symbols* outer, Symbols& symbols) const;
  Result<Resolved*> resolve(std::span<const TensorView> inputs, const Symbols* outer);
  Status place_buffers(Resolved& resolved);
  Status prepare_commands(Resolved& resolved);
  Status run_command(size_t index);
  Status run_kernel(size_t index);
  Status run_reference(size_t index);
  Status size_outputs(size_t index, bool by_inference);
  Status give_memory(size_t buffer, const Dims& dims);
  Status bind_symbols(size_t buffer, const Dims& dims);
  Result<ops::Facts> infer_now(size_t index) const;
  Status grow(AlignedPtr& memory, size_t& capacity, size_t wanted);
  Frame& body(size_t command, size_t k);

  Context& context_;
  const LoadedPlan& plan_;
  std::map<std::vector<int64_t>, std::unique_ptr<Resolved>> cache_;
  Resolved* current_ = nullptr;
  Symbols symbols_;               // those of this run, run-time ones included
  std::vector<TensorView> views_;  // by buffer
  std::vector<Owned> owned_;       // by buffer
  AlignedPtr arena_, workspace_;
  size_t arena_size_ = 0, workspace_size_ = 0;
  std::map<std::pair<size_t, size_t>, std::unique_ptr<Frame>> bodies_;
  std::vector<Timing> timings_;
};

}  // namespace carnot::runtime
