// SPDX-License-Identifier: Apache-2.0
#include "base/threads.hpp"

#include <immintrin.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <map>
#include <mutex>
#include <thread>

#include "base/cpu_features.hpp"

namespace carnot {
namespace {

static_assert(sizeof(std::atomic<uint32_t>) == 4, "a futex is a plain 32-bit word");

void futex_wait(std::atomic<uint32_t>& word, uint32_t while_equal) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, while_equal, nullptr, nullptr, 0);
}
void futex_wake(std::atomic<uint32_t>& word, int count) {
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

// Spins until done() or until the time is over; false if the time was over.
template <typename Done>
bool spin(int64_t microseconds, const Done& done) {
  if (done()) return true;
  if (microseconds <= 0) return false;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(microseconds);
  do {
    for (int i = 0; i < 32; ++i) {  // a clock read every 32 pauses
      _mm_pause();
      if (done()) return true;
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

// A worker's share of a loop in one word, so that taking a task is one compare-and-swap: the loop's number, the next
// task and the end.
constexpr int kTaskBits = 20;
constexpr int64_t kMaxTasks = (int64_t{1} << kTaskBits) - 1;
constexpr uint64_t kTaskMask = (uint64_t{1} << kTaskBits) - 1;
constexpr uint64_t pack(uint64_t epoch, uint64_t next, uint64_t end) {
  return epoch << (2 * kTaskBits) | end << kTaskBits | next;
}

}  // namespace

struct alignas(64) ThreadPool::Cell {
  std::atomic<uint64_t> range{0};
};

// A loop is published by writing body, ctx and tasks and then opening every cell. A worker reads a cell, then those
// fields, then takes a task by compare-and-swap on the cell. The swap succeeds only if the cell is still open for the
// same loop; the fields change only after all tasks of a loop are done, that is, with every cell empty, so the fields
// read belong to the task taken. Hence nobody waits for a worker that came late or was descheduled before it took a
// task.
struct ThreadPool::State {
  std::vector<Cell> cells;
  std::vector<std::thread> workers;
  int64_t spin_us;
  std::atomic<Body> body{nullptr};
  std::atomic<const void*> ctx{nullptr};
  std::atomic<uint32_t> tasks{0};
  alignas(64) std::atomic<uint32_t> epoch{0};  // counts loops; what idle workers watch and park on
  std::atomic<bool> stop{false};
  alignas(64) std::atomic<uint32_t> done{0};  // finished tasks of this loop; what the caller watches and parks on
  std::atomic<uint32_t> caller_parked{0};
  alignas(64) std::atomic<uint32_t> parked{0};
  alignas(64) std::atomic<bool> busy{false};

  explicit State(int threads, int64_t spin_us) : cells(threads), spin_us(spin_us) {}

  // Runs tasks from this worker's cell, then from the others' cells, until all are empty.
  void work(int worker) {
    const int count = int(cells.size());
    uint32_t finished = 0;
    for (int i = 0; i < count; ++i) {
      std::atomic<uint64_t>& range = cells[(worker + i) % count].range;
      uint64_t r = range.load(std::memory_order_acquire);
      while ((r & kTaskMask) < (r >> kTaskBits & kTaskMask)) {
        const Body b = body.load(std::memory_order_relaxed);
        const void* c = ctx.load(std::memory_order_relaxed);
        if (!range.compare_exchange_weak(r, r + 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
        b(c, int64_t(r & kTaskMask), worker);
        ++finished;
        r = range.load(std::memory_order_acquire);
      }
    }
    if (finished == 0) return;
    // The loop cannot end before this addition, so `tasks` is still its number of tasks when compared.
    const uint32_t total = tasks.load(std::memory_order_relaxed);
    if (done.fetch_add(finished, std::memory_order_seq_cst) + finished == total &&
        caller_parked.load(std::memory_order_seq_cst))
      futex_wake(done, 1);
  }

  void worker_main(int worker) {
    uint32_t seen = 0;
    while (true) {
      auto changed = [&] { return epoch.load(std::memory_order_acquire) != seen; };
      if (!spin(spin_us, changed)) {
        parked.fetch_add(1, std::memory_order_seq_cst);
        while (epoch.load(std::memory_order_seq_cst) == seen) futex_wait(epoch, seen);
        parked.fetch_sub(1, std::memory_order_relaxed);
      }
      seen = epoch.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_relaxed)) return;
      work(worker);
    }
  }

  void announce(int wake) {
    epoch.fetch_add(1, std::memory_order_seq_cst);
    if (parked.load(std::memory_order_seq_cst)) futex_wake(epoch, wake);
  }
};

ThreadPool::ThreadPool(Options options) {
  threads_ = options.threads > 0 ? options.threads : cpu_features().cores;
  if (threads_ == 1) return;
  state_ = std::make_unique<State>(threads_, options.spin_us);
  for (int w = 1; w < threads_; ++w) state_->workers.emplace_back([s = state_.get(), w] { s->worker_main(w); });
  cpu_set_t cpus;
  if (!options.leave_callers_cpu || sched_getaffinity(0, sizeof cpus, &cpus) != 0 || CPU_COUNT(&cpus) < threads_)
    return;
  const int here = sched_getcpu();
  if (here < 0) return;
  CPU_CLR(here, &cpus);
  callers_cpu_ = here;
  // A refusal leaves the worker where the system puts it, which is only slower.
  for (std::thread& t : state_->workers) pthread_setaffinity_np(t.native_handle(), sizeof cpus, &cpus);
}

ThreadPool::~ThreadPool() {
  if (!state_) return;
  state_->stop.store(true, std::memory_order_relaxed);
  state_->announce(INT_MAX);
  for (std::thread& t : state_->workers) t.join();
}

int64_t ThreadPool::range_count(int64_t n, int64_t grain) const {
  // Four ranges a thread even out unequal speed; more would only cost hand-offs.
  const int64_t wanted = (n + std::max<int64_t>(grain, 1) - 1) / std::max<int64_t>(grain, 1);
  return threads_ == 1 ? 1 : std::clamp<int64_t>(wanted, 1, 4 * int64_t{threads_});
}

void ThreadPool::run(int64_t tasks, Body body, const void* ctx) {
  if (tasks <= kMaxTasks) return run_chunk(tasks, body, ctx);
  struct Shifted {
    Body body;
    const void* ctx;
    int64_t first;
  };
  for (int64_t first = 0; first < tasks; first += kMaxTasks) {
    const Shifted shifted{body, ctx, first};
    run_chunk(
        std::min(kMaxTasks, tasks - first),
        [](const void* c, int64_t task, int worker) {
          const auto& s = *static_cast<const Shifted*>(c);
          s.body(s.ctx, s.first + task, worker);
        },
        &shifted);
  }
}

void ThreadPool::run_chunk(int64_t tasks, Body body, const void* ctx) {
  State& s = *state_;
  if (s.busy.exchange(true, std::memory_order_acquire)) {
    for (int64_t t = 0; t < tasks; ++t) body(ctx, t, 0);
    return;
  }
  s.body.store(body, std::memory_order_relaxed);
  s.ctx.store(ctx, std::memory_order_relaxed);
  s.tasks.store(uint32_t(tasks), std::memory_order_relaxed);
  s.done.store(0, std::memory_order_relaxed);
  const uint64_t epoch = s.epoch.load(std::memory_order_relaxed) + 1;
  for (int w = 0; w < threads_; ++w)
    s.cells[w].range.store(pack(epoch, w * tasks / threads_, (w + 1) * tasks / threads_), std::memory_order_release);
  s.announce(int(std::min<int64_t>(tasks - 1, INT_MAX)));
  s.work(0);
  auto finished = [&] { return s.done.load(std::memory_order_acquire) == uint32_t(tasks); };
  // The rest is at most a task of each worker, so the caller waits longer before it parks: a parked caller is woken on the worker's
  // processor if its own was taken meanwhile, and the two would then share it.
  if (!spin(20 * s.spin_us, finished)) {
    s.caller_parked.store(1, std::memory_order_seq_cst);
    for (uint32_t d; (d = s.done.load(std::memory_order_seq_cst)) != uint32_t(tasks);) futex_wait(s.done, d);
    s.caller_parked.store(0, std::memory_order_relaxed);
  }
  s.busy.store(false, std::memory_order_release);
}

std::shared_ptr<ThreadPool> shared_thread_pool(int threads) {
  static std::mutex mutex;
  static std::map<int, std::weak_ptr<ThreadPool>> pools;
  if (threads <= 0) threads = cpu_features().cores;
  std::lock_guard lock(mutex);
  std::shared_ptr<ThreadPool> pool = pools[threads].lock();
  if (!pool) pools[threads] = pool = std::make_shared<ThreadPool>(threads);
  return pool;
}

}  // namespace carnot
