// SPDX-License-Identifier: Apache-2.0
// What a model version has done: Triton's statistics and a latency histogram. All members may be called from any
// thread.
#pragma once
#include <array>
#include <map>
#include <mutex>

#include "core/request.hpp"

namespace inference {
class ModelStatistics;
}

namespace carnot::serve {

enum class Failure { kRejected, kCanceled, kBackend, kOther };  // label "reason" of nv_inference_request_failure
inline constexpr std::array<const char*, 4> kFailureNames = {"REJECTED", "CANCELED", "BACKEND", "OTHER"};
inline constexpr std::array<int, 14> kLatencyBoundsUs = {100,   250,   500,    1000,   2500,   5000,    10000,
                                                         25000, 50000, 100000, 250000, 500000, 1000000, 5000000};

struct Duration {
  uint64_t count = 0, ns = 0;
  void add(Clock::duration d, uint64_t n = 1) {
    count += n;
    ns += static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(d).count()) * n;
  }
};

class Statistics {
 public:
  struct Numbers {
    uint64_t last_inference_ms = 0, inferences = 0, executions = 0;
    Duration success, fail, queue, compute_input, compute_infer, compute_output, cache_hit, cache_miss;
    struct Batch {
      Duration input, infer, output;
    };
    std::map<int64_t, Batch> batches;
    std::array<uint64_t, 4> failures{};
    std::array<uint64_t, kLatencyBoundsUs.size() + 1> latency{};  // requests by kLatencyBoundsUs, then those above
    uint64_t latency_us = 0;
  };

  // One request of a run that succeeded: from its arrival, through the queue, to `times.end`.
  void succeeded(Clock::time_point received, Clock::time_point queued, int64_t batch, const RunTimes& times);
  void ran(int64_t batch, const RunTimes& times);
  // One request that was answered by runs of other models: the sums of theirs.
  struct Sums {
    Clock::duration queue{}, input{}, infer{}, output{};
  };
  void composed(Clock::time_point received, int64_t batch, const Sums& sums);
  // A request answered from the response cache after `lookup`; or one that was not there.
  void cache_hit(Clock::time_point received, Clock::duration lookup);
  void cache_miss(Clock::duration lookup);
  void failed(Failure reason, Clock::time_point received);
  Numbers numbers() const;
  void fill(inference::ModelStatistics* out) const;

 private:
  void count_success(Clock::duration total);  // under the mutex
  mutable std::mutex mutex_;
  Numbers numbers_;
};

}  // namespace carnot::serve
