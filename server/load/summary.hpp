// SPDX-License-Identifier: Apache-2.0
// From the records of windows to the numbers of a level.
#pragma once
#include "carnot/load.hpp"
#include "kserve.pb.h"
#include "load/worker.hpp"

namespace carnot::serve::load {

struct Window {
  double seconds = 0;
  Batch batch;
  double throughput = 0, latency_us = 0;  // what is compared for stability
};

// Sorts the latencies; `quantile` of them by rank, 0 for none.
double quantile(std::vector<float>& latencies, double quantile);

void judge(Window* window, const LoadOptions& options);
// True if the last three windows agree.
bool stable(const std::vector<Window>& windows, double share);
// Numbers over all given windows; level, stable and server are the caller's.
LoadResult summarize(std::vector<Window>& windows, const LoadOptions& options);
LoadServerSide difference(const inference::ModelStatistics& before, const inference::ModelStatistics& after);

}  // namespace carnot::serve::load
