// SPDX-License-Identifier: Apache-2.0
#include "core/statistics.hpp"

#include "kserve.pb.h"

namespace carnot::serve {

namespace {

uint64_t now_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

}  // namespace

void Statistics::count_success(Clock::duration total) {
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(total).count();
  size_t bucket = 0;
  while (bucket < kLatencyBoundsUs.size() && us > kLatencyBoundsUs[bucket]) ++bucket;
  numbers_.success.add(total);
  ++numbers_.latency[bucket];
  numbers_.latency_us += static_cast<uint64_t>(us);
}

void Statistics::succeeded(Clock::time_point received, Clock::time_point queued, int64_t batch, const RunTimes& times) {
  std::lock_guard lock(mutex_);
  count_success(times.end - received);
  numbers_.inferences += static_cast<uint64_t>(batch);
  numbers_.queue.add(times.start - queued);
  numbers_.compute_input.add(times.input_end - times.start);
  numbers_.compute_infer.add(times.infer_end - times.input_end);
  numbers_.compute_output.add(times.end - times.infer_end);
}

void Statistics::composed(Clock::time_point received, int64_t batch, const Sums& sums) {
  const auto total = Clock::now() - received;
  std::lock_guard lock(mutex_);
  count_success(total);
  numbers_.last_inference_ms = now_ms();
  ++numbers_.executions;
  numbers_.inferences += static_cast<uint64_t>(batch);
  numbers_.queue.add(sums.queue);
  numbers_.compute_input.add(sums.input);
  numbers_.compute_infer.add(sums.infer);
  numbers_.compute_output.add(sums.output);
}

void Statistics::cache_hit(Clock::time_point received, Clock::duration lookup) {
  const auto total = Clock::now() - received;
  std::lock_guard lock(mutex_);
  count_success(total);
  numbers_.last_inference_ms = now_ms();
  numbers_.cache_hit.add(lookup);
}

void Statistics::cache_miss(Clock::duration lookup) {
  std::lock_guard lock(mutex_);
  numbers_.cache_miss.add(lookup);
}

void Statistics::ran(int64_t batch, const RunTimes& times) {
  std::lock_guard lock(mutex_);
  ++numbers_.executions;
  numbers_.last_inference_ms = now_ms();
  Numbers::Batch& b = numbers_.batches[batch];
  b.input.add(times.input_end - times.start);
  b.infer.add(times.infer_end - times.input_end);
  b.output.add(times.end - times.infer_end);
}

void Statistics::failed(Failure reason, Clock::time_point received) {
  const auto total = Clock::now() - received;
  std::lock_guard lock(mutex_);
  numbers_.fail.add(total);
  ++numbers_.failures[static_cast<size_t>(reason)];
}

Statistics::Numbers Statistics::numbers() const {
  std::lock_guard lock(mutex_);
  return numbers_;
}

void Statistics::fill(inference::ModelStatistics* out) const {
  const Numbers n = numbers();
  const auto set = [](const Duration& from, inference::StatisticDuration* to) {
    to->set_count(from.count);
    to->set_ns(from.ns);
  };
  out->set_last_inference(n.last_inference_ms);
  out->set_inference_count(n.inferences);
  out->set_execution_count(n.executions);
  auto* s = out->mutable_inference_stats();
  set(n.success, s->mutable_success());
  set(n.fail, s->mutable_fail());
  set(n.queue, s->mutable_queue());
  set(n.compute_input, s->mutable_compute_input());
  set(n.compute_infer, s->mutable_compute_infer());
  set(n.compute_output, s->mutable_compute_output());
  set(n.cache_hit, s->mutable_cache_hit());
  set(n.cache_miss, s->mutable_cache_miss());
  for (const auto& [size, b] : n.batches) {
    auto* batch = out->add_batch_stats();
    batch->set_batch_size(static_cast<uint64_t>(size));
    set(b.input, batch->mutable_compute_input());
    set(b.infer, batch->mutable_compute_infer());
    set(b.output, batch->mutable_compute_output());
  }
}

}  // namespace carnot::serve
