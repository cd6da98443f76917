// SPDX-License-Identifier: Apache-2.0
// What an engine takes of memory: weights, working memory for given input shapes, and how much of it values share. Nothing is run.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "base/result.hpp"
#include "base/tensor.hpp"

namespace carnot {
class ThreadPool;
}

namespace carnot::runtime {

class LoadedEngine;

// Working memory in one place, in bytes.
struct ArenaReport {
  uint64_t bytes = 0;
  uint64_t workspace = 0;     // scratch of kernels beside it; not known for a device's
  uint64_t peak = 0;          // the most that is alive at one moment: no arrangement could take less than this
  int32_t peak_command = -1;  // when; -1: nothing is ever alive
};

// Of the network itself: bodies of control flow have memory of their own, and so has what only a run can size.
struct MemoryReport {
  ArenaReport host, device;
};

// How many values lie in working memory, and how many of them take none because they share it.
struct SharingReport {
  int64_t values = 0;
  int64_t views = 0;     // the same bytes under another shape
  int64_t in_place = 0;  // results where an operand lay
  int64_t parts = 0;     // of a concatenation, a split or a slice, where they lie in the whole
  int64_t sized_by_run = 0;
};
SharingReport report_sharing(const LoadedEngine& engine);

// All of it as JSON, for the shapes of `inputs` (in the engine's order; dtypes and data are not looked at) and a run on `pool`'s threads. Without
// inputs, those that the engine admits: the largest of its ranges. Where there are no bounds, only what shapes do not change is told.
Result<std::string> memory_json(const std::shared_ptr<const LoadedEngine>& engine, std::span<const TensorView> inputs, std::shared_ptr<ThreadPool> pool);

}  // namespace carnot::runtime
