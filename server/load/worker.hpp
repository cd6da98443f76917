// SPDX-License-Identifier: Apache-2.0
// One thread of a load test: keeps its slots busy (closed loop) or sends what is due (open loop).
#pragma once
#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <random>

#include "load/transport.hpp"

namespace carnot::serve::load {

// What all workers of a level share.
struct Shared {
  std::atomic<bool> stop{false};
  std::atomic<int64_t> budget{0};  // requests still to be sent; only if `counted`
  bool counted = false;
  std::atomic<uint64_t> next_sequence{1};
  int sequence_length = 0;  // 0: no sequences
  size_t samples = 1;

  bool take() {
    if (stop.load(std::memory_order_relaxed)) return false;
    return !counted || budget.fetch_sub(1, std::memory_order_relaxed) > 0;
  }
};

struct Record {
  float latency_us, send_us, wait_us, receive_us;
  bool delayed;
};

// What has come in since the last look.
struct Batch {
  std::vector<Record> good;
  std::map<std::string, uint64_t> errors;
};

class Worker {
 public:
  Worker(std::unique_ptr<Transport> transport, size_t slots, Shared& shared);

  // Both return after `stop`, or when the budget is used up, and every request has its answer (or 10 s have passed).
  void closed_loop();
  // `rate` requests a second, the first due at `start`.
  void open_loop(double rate, bool poisson, uint64_t seed, Clock::time_point start);
  Batch take();

 private:
  struct Slot {
    Clock::time_point due;
    int left = 0;  // of its sequence
    Place place;
  };
  void send(size_t slot, Clock::time_point due);
  // Waits, records, and adds the slots that have become idle to *idle.
  void receive(Clock::time_point until, std::vector<size_t>* idle);
  void finish(std::vector<size_t>* idle);

  const std::unique_ptr<Transport> transport_;
  Shared& shared_;
  std::vector<Slot> slots_;
  size_t in_flight_ = 0, sent_ = 0;
  std::vector<Outcome> outcomes_;
  std::mutex mutex_;
  Batch batch_;
};

}  // namespace carnot::serve::load
