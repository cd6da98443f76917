// SPDX-License-Identifier: Apache-2.0
#include "core/run_time.hpp"

#include <algorithm>
#include <cmath>

namespace carnot::serve {
namespace {

constexpr double kForget = 0.99;  // of the weight of a run with each that follows
constexpr double kEnough = 8;     // runs
// Batches differ enough for a slope if their sizes' variance is at least this part of the square of their mean.
constexpr double kSpread = 0.01;
// An item may cost so much more than in a full batch. Below the noise of most machines, and little of the throughput.
constexpr double kSlack = 1.05;
constexpr uint64_t kProbeEvery = 64;
constexpr size_t kMostLines = 64;  // shapes; others are batched as they come

}  // namespace

bool RunTime::Line::fit(double* a, double* c) const {
  if (n < kEnough) return false;
  const double mean = b / n, variance = bb / n - mean * mean;
  if (variance < kSpread * mean * mean) return false;
  *c = std::max(0.0, (bt / n - mean * t / n) / variance);
  *a = std::max(0.0, t / n - *c * mean);
  return true;
}

void RunTime::learn(uint64_t item_bytes, int64_t batch, double us) {
  auto at = lines_.find(item_bytes);
  if (at == lines_.end()) {
    if (lines_.size() >= kMostLines) return;
    at = lines_.try_emplace(item_bytes).first;
  }
  Line& line = at->second;
  // A run that something else disturbed says little about the model.
  if (line.n >= kEnough) us = std::min(us, 2 * line.t / line.b * static_cast<double>(batch) + line.t / line.n);
  const auto size = static_cast<double>(batch);
  for (double* sum : {&line.n, &line.b, &line.bb, &line.t, &line.bt}) *sum *= kForget;
  line.n += 1;
  line.b += size;
  line.bb += size * size;
  line.t += us;
  line.bt += size * us;
}

int64_t RunTime::worth(uint64_t item_bytes, int64_t count) {
  const auto at = lines_.find(item_bytes);
  double a = 0, c = 0;
  if (count <= 1 || at == lines_.end() || !at->second.fit(&a, &c)) return count;
  // a / b + c <= slack (a / count + c)
  const double most = kSlack * (a / static_cast<double>(count) + c) - c;
  const double fewest = most > 0 ? std::clamp(std::ceil(a / most), 1.0, static_cast<double>(count)) : 1;
  // Those left behind wait for another start of a run: no gain for all if the first save less than that.
  if (a >= c * fewest) return count;
  const bool probe = ++at->second.asked % kProbeEvery == 0;
  return std::min(count, static_cast<int64_t>(fewest) * (probe ? 2 : 1));
}

}  // namespace carnot::serve
