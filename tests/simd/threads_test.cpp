// SPDX-License-Identifier: Apache-2.0
#include "base/threads.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>

namespace carnot {
namespace {

// Each task runs exactly once, whatever the number of threads and tasks.
TEST(ThreadPool, EveryTaskOnce) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int64_t tasks : {0, 1, 2, 7, 64, 1000}) {
      std::vector<std::atomic<int>> count(static_cast<size_t>(tasks));
      pool.parallel_for(tasks, [&](int64_t t, int worker) {
        ASSERT_GE(worker, 0);
        ASSERT_LT(worker, threads);
        count[size_t(t)].fetch_add(1);
      });
      for (auto& c : count) EXPECT_EQ(c.load(), 1);
    }
  }
}

// Far more threads than cores and loops that follow each other at once: the hand-off must neither lose nor repeat a
// task.
TEST(ThreadPool, ManyShortLoops) {
  for (int64_t spin : {0, 20}) {
    ThreadPool pool({.threads = 6, .spin_us = spin});
    for (int i = 0; i < 20000; ++i) {
      int data[13] = {};
      pool.parallel_for(13, [&](int64_t t) { data[t] += i + int(t); });
      for (int t = 0; t < 13; ++t) ASSERT_EQ(data[t], i + t) << "loop " << i << ", spin " << spin;
    }
  }
}

TEST(ThreadPool, WakesParkedWorkers) {
  ThreadPool pool({.threads = 3, .spin_us = 0});
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> workers{0};
    // Both tasks wait for each other, so the loop ends only if a parked worker came.
    pool.parallel_for(2, [&](int64_t) {
      workers.fetch_add(1);
      while (workers.load() < 2) std::this_thread::yield();
    });
    EXPECT_EQ(workers.load(), 2);
  }
}

TEST(ThreadPool, NestedLoopsRunInline) {
  ThreadPool pool(4);
  std::atomic<int64_t> sum{0};
  pool.parallel_for(8, [&](int64_t a) { pool.parallel_for(8, [&](int64_t b) { sum.fetch_add(a * 8 + b); }); });
  EXPECT_EQ(sum.load(), 63 * 64 / 2);
}

TEST(ThreadPool, SharedByCallers) {
  auto pool = shared_thread_pool(3);
  EXPECT_EQ(pool.get(), shared_thread_pool(3).get());
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      for (int i = 0; i < 3000; ++i) {
        std::vector<int64_t> part(9, 0);
        pool->parallel_for(9, [&](int64_t t) { part[size_t(t)] = t + i; });
        if (std::accumulate(part.begin(), part.end(), int64_t{0}) != 36 + 9 * i) wrong.fetch_add(1);
      }
    });
  for (auto& t : callers) t.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(ThreadPool, RangesCoverAndRespectGrain) {
  ThreadPool pool(3);
  for (int64_t n : {0, 1, 5, 100, 4097}) {
    std::vector<std::atomic<int>> count(static_cast<size_t>(n));
    std::atomic<int> ranges{0};
    pool.parallel_ranges(n, 64, [&](int64_t begin, int64_t end) {
      ranges.fetch_add(1);
      for (int64_t i = begin; i < end; ++i) count[size_t(i)].fetch_add(1);
    });
    for (auto& c : count) EXPECT_EQ(c.load(), 1);
    EXPECT_LE(ranges.load(), std::min<int64_t>((n + 63) / 64, 12));
  }
}

TEST(ThreadPool, MoreTasksThanOneLoopHolds) {
  ThreadPool pool(2);
  const int64_t tasks = (int64_t{1} << 20) + 12345;
  std::vector<uint8_t> seen(static_cast<size_t>(tasks), 0);
  pool.parallel_for(tasks, [&](int64_t t) { ++seen[size_t(t)]; });
  for (int64_t t = 0; t < tasks; ++t) ASSERT_EQ(seen[size_t(t)], 1);
}

}  // namespace
}  // namespace carnot
