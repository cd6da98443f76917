// SPDX-License-Identifier: Apache-2.0
// Plans by problem, shared in the process as long as somebody holds them.
#pragma once
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "backends/cuda/libraries/driver.hpp"

namespace carnot::cuda {

template <typename Problem, typename Plan>
class PlanCache {
 public:
  using Made = Result<std::shared_ptr<Plan>>;
  // The plan for this problem on the calling thread's device. Different plans are made in parallel; who asks for one that another
  // thread is making waits for it.
  template <typename Make>
  Made get(const Problem& problem, Make&& make) {
    CARNOT_ASSIGN(const int device, current_device());
    std::promise<Made> promise;
    std::shared_future<Made> pending;
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(entries_, [](const Entry& e) { return !e.pending.valid() && e.plan.expired(); });
      for (const Entry& e : entries_) {
        if (e.device != device || !(e.problem == problem)) continue;
        if (auto plan = e.plan.lock()) return plan;
        pending = e.pending;
      }
      if (!pending.valid()) entries_.push_back({device, problem, {}, promise.get_future().share()});
    }
    if (pending.valid()) return pending.get();
    Made made = make();
    {
      const std::lock_guard lock(mutex_);
      for (Entry& e : entries_)
        if (e.device == device && e.problem == problem) {
          e.pending = {};
          if (made) e.plan = *made;
        }
    }
    promise.set_value(made);
    return made;
  }

 private:
  struct Entry {
    int device;
    Problem problem;
    std::weak_ptr<Plan> plan;
    std::shared_future<Made> pending;  // valid while the plan is being made
  };
  std::mutex mutex_;
  std::vector<Entry> entries_;
};

// Runs work in the background with the calling thread's context current: plans whose shapes are known when an engine is loaded are made
// side by side. At most as many at once as the machine has cores.
std::future<void> in_background(std::function<void()> work);

}  // namespace carnot::cuda
