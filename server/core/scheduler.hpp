// SPDX-License-Identifier: Apache-2.0
// The queue of one model version: when a request runs, with which others, on which instance.
//
// A request that finds an idle instance and an empty queue runs at once, on the caller's thread if the model is known
// to be quick (a hand-off to another thread costs more than such a run). Others wait in the queue of their priority;
// requests that agree behind the batch dim are joined up to max_batch_size. Waiting for more (max_queue_delay) is tried
// only while it pays: after waits that brought nobody it is left out but for a probe now and then, so an idle server
// adds no delay. Batches are as large as pays: where a run of several takes as long as several runs (learned as they
// come), the first need not wait for the last.
#pragma once
#include <deque>

#include "core/executor.hpp"
#include "core/run_time.hpp"
#include "core/runner.hpp"
#include "core/target.hpp"

namespace carnot::serve {

struct QueuePolicy {
  bool delay = false;  // what is late runs after all others instead of being refused
  uint64_t timeout_us = 0;
  bool allow_override = true;  // by the request's own timeout
  size_t max_size = 0;         // 0: no limit
};

struct SchedulerOptions {
  bool join = false;  // several requests in a batch
  std::vector<int64_t> preferred;
  std::chrono::microseconds max_delay{0};
  bool preserve_ordering = false;
  size_t default_level = 0;
  std::vector<QueuePolicy> levels = {{}};  // highest priority first; at least one
  int instances = 1;
  int threads = 0;  // of each instance; 0: one per core
  void for_sequences(const inference::ModelConfig& config);
  static SchedulerOptions from(const inference::ModelConfig& config, int default_threads, size_t default_queue);
};

class Scheduler : public Target, public Executor::Task, public std::enable_shared_from_this<Scheduler> {
 public:
  Scheduler(SchedulerOptions options, std::shared_ptr<const Runner> runner, int64_t version, Executor& executor,
            std::shared_ptr<Statistics> statistics);
  void submit(std::unique_ptr<Job> job, bool here) override;
  void pump() override;
  size_t pending() const override;
  // For warm-up, before the first request.
  template <typename Fn>
  void each_instance(const Fn& fn) {
    for (auto& instance : idle_) fn(*instance);
  }

 private:
  using Jobs = std::vector<std::unique_ptr<Job>>;
  size_t queued() const;
  void enqueue(std::unique_ptr<Job> job);
  // Takes what has expired or been cancelled out of the queues.
  void sweep(Clock::time_point now, Jobs* late, Jobs* gone);
  // The next batch; empty if there is none yet, then *wake tells when to look again (max: not before something
  // happens).
  Jobs form(Clock::time_point now, Clock::time_point* wake);
  bool worth_waiting();
  void run(std::unique_lock<std::mutex>& lock, std::unique_ptr<Instance> instance, Jobs jobs);
  void refuse(Jobs& late, Jobs& gone);

  const SchedulerOptions options_;
  const std::shared_ptr<const Runner> runner_;
  const int64_t version_;
  Executor& executor_;
  const std::shared_ptr<Statistics> statistics_;

  mutable std::mutex mutex_;
  std::vector<std::deque<std::unique_ptr<Job>>> queues_;  // by level; behind them one for what is late
  std::vector<std::unique_ptr<Instance>> idle_;
  size_t running_ = 0, with_deadline_ = 0;
  double run_us_ = 1e9;   // moving average of a run
  RunTime run_time_;
  double wait_gain_ = 1;  // moving average: did a wait bring anybody?
  uint64_t waits_skipped_ = 0;
  size_t queued_at_wait_ = 0;  // > 0: a wait is going on
};

}  // namespace carnot::serve
