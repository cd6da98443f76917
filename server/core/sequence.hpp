// SPDX-License-Identifier: Apache-2.0
// Sequences (sequence_batching): requests with one sequence_id run in the order they came, one at a time, and carry the
// model's state from one to the next. Requests of different sequences are batched by the queue behind.
//
// An engine keeps nothing between runs: its state is an output that comes back as an input (`state`), and it is told
// where a sequence begins and ends by inputs of its own (`control_input`). Clients see neither.
#pragma once
#include <array>
#include <deque>
#include <unordered_map>

#include "core/executor.hpp"
#include "core/runner.hpp"
#include "core/target.hpp"

namespace carnot::serve {

class Sequencer : public Target, public Executor::Task, public std::enable_shared_from_this<Sequencer> {
 public:
  // `queue` runs what is due. `folder` has initial_state/. The fault names the field of the configuration.
  static Or<std::shared_ptr<Sequencer>> make(const inference::ModelConfig& config, const std::string& folder,
                                             size_t max_queue, std::shared_ptr<const Runner> runner,
                                             std::shared_ptr<Target> queue, Executor& executor,
                                             std::shared_ptr<Statistics> statistics);

  void submit(std::unique_ptr<Job> job, bool here) override;
  size_t pending() const override;
  void pump() override;  // ends sequences that have been idle for too long, drops requests that nobody waits for
  // Gives a job what the first request of a sequence has: for warm-up.
  void prepare(Job& job) const;

 private:
  friend class SequenceTurn;
  // What a hidden input of the engine gets.
  struct Role {
    enum class Kind { kStart, kEnd, kReady, kId, kState } kind = Kind::kState;
    const Datatype* type = nullptr;
    std::vector<int64_t> shape;
    std::array<std::vector<std::byte>, 2> values;  // false, true
    Hidden::Result initial;                        // of a state
    size_t result = 0;                             // hidden output that becomes the next state
  };
  struct Sequence {
    std::deque<std::unique_ptr<Job>> waiting;
    std::vector<Hidden::Result> states;  // by role; empty for controls
    Clock::time_point used;
    bool busy = false;  // a request of it runs or stands in the queue
    bool open = false;  // no END has come yet
    bool slot = false;
  };

  Sequencer() = default;
  MaybeFault add_control(const inference::ModelSequenceBatching::ControlInput& input);
  MaybeFault add_state(const inference::ModelSequenceBatching::State& state, const std::string& folder);
  Or<size_t> hidden_input(const std::string& name, const char* field) const;
  MaybeFault check(Job& job) const;
  std::unique_ptr<Hidden> turn(const SequencePlace& place, Sequence* sequence) const;
  // Under the mutex: the sequence's next request if it may run now, else nullptr.
  std::unique_ptr<Job> next(const std::string& id, Sequence& sequence);
  // Under the mutex: forgets the sequence; the request that may run because of it.
  std::unique_ptr<Job> close(const std::string& id);
  void over(const std::string& id, Hidden& turn);
  void watch(Clock::time_point now);

  std::shared_ptr<const Runner> runner_;
  std::shared_ptr<Target> queue_;
  Executor* executor_ = nullptr;
  std::shared_ptr<Statistics> statistics_;
  std::vector<Role> roles_;  // by hidden input
  std::chrono::microseconds idle_{1'000'000};
  size_t slots_ = SIZE_MAX, max_queue_ = 0;  // sequences at the same time; requests that wait

  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::unique_ptr<Sequence>> sequences_;
  std::deque<std::string> backlog_;  // sequences without a slot, in order
  size_t used_slots_ = 0, waiting_ = 0;
  Clock::time_point watch_at_ = Clock::time_point::max();  // when pump() is called next
};

}  // namespace carnot::serve
