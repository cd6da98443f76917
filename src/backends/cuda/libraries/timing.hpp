// SPDX-License-Identifier: Apache-2.0
// How long work takes on the device. The calls are recorded and replayed, so that what the host needs to launch them does not count;
// operands are warm in the cache, as what the command before has just written is.
#pragma once
#include <functional>

#include "backends/cuda/libraries/driver.hpp"

namespace carnot::cuda {

class Timer {
 public:
  static Result<std::unique_ptr<Timer>> make();
  ~Timer();
  // Microseconds of one call of `enqueue`, the least of several readings; it must do the same each time. Work slower than 1.5 * `limit`
  // is read once only.
  Result<double> microseconds(const std::function<Status(CUstream)>& enqueue, double limit);

 private:
  explicit Timer(const KernelDriver& driver) : driver_(driver) {}
  const KernelDriver& driver_;
  CUstream stream_ = nullptr;
  CUevent begin_ = nullptr, end_ = nullptr;
};

// Whether the stream's work is being recorded.
Result<bool> is_recording(CUstream stream);

struct Timed {
  size_t best = 0;
  double microseconds = 0;
};
// The candidate of `count` that is fastest, waiting for `stream` first. The first one (the library's own guess) must be beaten by 2 %;
// candidates that fail are left out, and if all do, the first one's error is returned.
Result<Timed> fastest(size_t count, CUstream stream, const std::function<Status(size_t candidate, CUstream)>& enqueue);

}  // namespace carnot::cuda
