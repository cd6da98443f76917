// SPDX-License-Identifier: Apache-2.0
// Where requests of one model version go: a queue before an engine, or what composes such queues. All members may be
// called from any thread.
#pragma once
#include "core/request.hpp"

namespace carnot::serve {

class Target {
 public:
  virtual ~Target() = default;
  // Checks the request and answers it, now or later. `here`: the caller's thread may be used for a model that takes no
  // longer than a hand-off.
  virtual void submit(std::unique_ptr<Job> job, bool here) = 0;
  virtual size_t pending() const = 0;  // requests that wait or run
};

}  // namespace carnot::serve
