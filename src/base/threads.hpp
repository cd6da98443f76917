// SPDX-License-Identifier: Apache-2.0
// A pool of worker threads for short parallel loops. Workers spin for a moment after a loop (a hand-off then costs well
// under a microsecond) and park when nothing comes.
//
//   ThreadPool pool({.threads = 4});
//   pool.parallel_for(tasks, [&](int64_t task) { ... });
//   pool.parallel_for(tasks, [&](int64_t task, int worker) { use(scratch[worker]); });
//   pool.parallel_ranges(n, 1024, [&](int64_t begin, int64_t end) { ... });
//
// The calling thread works too and is worker 0. Each worker starts with its own contiguous share of the tasks (the same
// from loop to loop, so data stays in its core's cache) and then helps the others. Bodies must not throw. No call
// allocates. Any number of threads may call one pool: the first gets the workers; a caller that finds them taken, and a
// loop inside a loop, runs its tasks itself, as worker 0. Which worker runs a task is not fixed, so results must not
// depend on it.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

namespace carnot {

class ThreadPool {
 public:
  struct Options {
    int threads = 0;        // the caller included; 0 = the processors that this process may use
    int64_t spin_us = 100;  // how long an idle worker spins before it parks
    // Keeps the workers off the processor on which the pool was made, when there are enough processors: a worker that
    // is woken on the caller's own processor, because all are busy, would otherwise wait until the caller has done all
    // the work alone.
    bool leave_callers_cpu = true;
  };
  explicit ThreadPool(Options options);
  explicit ThreadPool(int threads) : ThreadPool(Options{.threads = threads}) {}
  ~ThreadPool();  // no loop may be running
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }
  // The processor that the workers keep off (see Options), or -1. A benchmark may pin its calling thread there.
  int callers_cpu() const { return callers_cpu_; }

  // Calls fn(task) or fn(task, worker) once for each task in [0, tasks), 0 <= worker < threads(), and returns when all
  // are done. What the bodies wrote is visible to the caller afterwards.
  template <typename Fn>
  void parallel_for(int64_t tasks, const Fn& fn) {
    if (tasks <= 1 || threads_ == 1) {
      for (int64_t t = 0; t < tasks; ++t) call(fn, t, 0);
      return;
    }
    run(
        tasks, [](const void* ctx, int64_t task, int worker) { call(*static_cast<const Fn*>(ctx), task, worker); },
        &fn);
  }

  // Splits [0, n) into contiguous ranges of about `grain` or more items, a few per thread at most, and calls fn(begin,
  // end) or fn(begin, end, worker) for each. Choose the grain so that a range is worth a microsecond or more.
  template <typename Fn>
  void parallel_ranges(int64_t n, int64_t grain, const Fn& fn) {
    if (n <= 0) return;
    const int64_t parts = range_count(n, grain);
    parallel_for(parts, [&](int64_t part, int worker) {
      const int64_t base = n / parts, extra = n % parts;
      const int64_t begin = part * base + (part < extra ? part : extra);
      const int64_t end = begin + base + (part < extra);
      if constexpr (std::is_invocable_v<Fn, int64_t, int64_t, int>)
        fn(begin, end, worker);
      else
        fn(begin, end);
    });
  }

 private:
  using Body = void (*)(const void* ctx, int64_t task, int worker);
  struct Cell;
  struct State;

  template <typename Fn>
  static void call(const Fn& fn, int64_t task, int worker) {
    if constexpr (std::is_invocable_v<Fn, int64_t, int>)
      fn(task, worker);
    else
      fn(task);
  }
  int64_t range_count(int64_t n, int64_t grain) const;
  void run(int64_t tasks, Body body, const void* ctx);
  void run_chunk(int64_t tasks, Body body, const void* ctx);

  int threads_;
  int callers_cpu_ = -1;
  std::unique_ptr<State> state_;  // null when threads_ == 1
};

// The pool that everything in this process shares which asks for this many threads (0 = all processors). It lives as
// long as someone holds it.
std::shared_ptr<ThreadPool> shared_thread_pool(int threads);

}  // namespace carnot
