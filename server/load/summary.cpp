// SPDX-License-Identifier: Apache-2.0
#include "load/summary.hpp"

#include <algorithm>
#include <cmath>

namespace carnot::serve::load {
namespace {

double mean_of(const std::vector<float>& values) {
  double sum = 0;
  for (float v : values) sum += v;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

std::vector<float> latencies_of(const Batch& batch) {
  std::vector<float> out;
  out.reserve(batch.good.size());
  for (const Record& r : batch.good) out.push_back(r.latency_us);
  return out;
}

}  // namespace

double quantile(std::vector<float>& latencies, double quantile) {
  if (latencies.empty()) return 0;
  std::sort(latencies.begin(), latencies.end());
  const auto n = static_cast<double>(latencies.size());
  const auto rank = static_cast<size_t>(std::max(std::ceil(quantile * n) - 1, 0.0));
  return latencies[std::min(rank, latencies.size() - 1)];
}

void judge(Window* window, const LoadOptions& options) {
  window->throughput = static_cast<double>(window->batch.good.size()) * static_cast<double>(options.batch) /
                       std::max(window->seconds, 1e-9);
  std::vector<float> latencies = latencies_of(window->batch);
  window->latency_us = options.percentile > 0 ? quantile(latencies, options.percentile / 100) : mean_of(latencies);
}

bool stable(const std::vector<Window>& windows, double share) {
  if (windows.size() < 3) return false;
  const auto agree = [&](double Window::*what) {
    double mean = 0;
    for (size_t i = windows.size() - 3; i < windows.size(); ++i) mean += windows[i].*what / 3;
    for (size_t i = windows.size() - 3; i < windows.size(); ++i)
      if (mean == 0 || std::abs(windows[i].*what - mean) > share * mean) return false;
    return true;
  };
  return agree(&Window::throughput) && agree(&Window::latency_us);
}

LoadResult summarize(std::vector<Window>& windows, const LoadOptions& options) {
  LoadResult r;
  std::vector<float> latencies;
  double send = 0, wait = 0, receive = 0;
  for (const Window& w : windows) {
    r.seconds += w.seconds;
    for (const auto& [text, count] : w.batch.errors) {
      r.errors[text] += count;
      r.failed += count;
    }
    for (const Record& record : w.batch.good) {
      latencies.push_back(record.latency_us);
      send += record.send_us;
      wait += record.wait_us;
      receive += record.receive_us;
      r.delayed += record.delayed;
    }
  }
  r.requests = latencies.size();
  if (latencies.empty()) return r;
  const auto n = static_cast<double>(latencies.size());
  r.throughput = n * static_cast<double>(options.batch) / std::max(r.seconds, 1e-9);
  r.send_us = send / n;
  r.wait_us = wait / n;
  r.receive_us = receive / n;
  r.average_us = mean_of(latencies);
  double squares = 0;
  for (float v : latencies) squares += (v - r.average_us) * (v - r.average_us);
  r.deviation_us = std::sqrt(squares / n);
  r.p50_us = quantile(latencies, 0.5);
  r.p90_us = quantile(latencies, 0.9);
  r.p95_us = quantile(latencies, 0.95);
  r.p99_us = quantile(latencies, 0.99);
  r.p999_us = quantile(latencies, 0.999);
  r.max_us = latencies.back();
  r.chosen_us = options.percentile > 0 ? quantile(latencies, options.percentile / 100) : r.average_us;
  return r;
}

LoadServerSide difference(const inference::ModelStatistics& before, const inference::ModelStatistics& after) {
  LoadServerSide d{.model = after.name(), .version = after.version()};
  d.inferences = after.inference_count() - before.inference_count();
  d.executions = after.execution_count() - before.execution_count();
  const auto& a = after.inference_stats();
  const auto& b = before.inference_stats();
  const auto average = [](const inference::StatisticDuration& from, const inference::StatisticDuration& to) {
    const uint64_t count = to.count() - from.count();
    return count ? static_cast<double>(to.ns() - from.ns()) / static_cast<double>(count) / 1000 : 0;
  };
  d.requests = a.success().count() - b.success().count();
  d.cache_hits = a.cache_hit().count() - b.cache_hit().count();
  d.cache_misses = a.cache_miss().count() - b.cache_miss().count();
  d.request_us = average(b.success(), a.success());
  d.queue_us = average(b.queue(), a.queue());
  d.input_us = average(b.compute_input(), a.compute_input());
  d.infer_us = average(b.compute_infer(), a.compute_infer());
  d.output_us = average(b.compute_output(), a.compute_output());
  d.cache_hit_us = average(b.cache_hit(), a.cache_hit());
  d.cache_miss_us = average(b.cache_miss(), a.cache_miss());
  return d;
}

}  // namespace carnot::serve::load
