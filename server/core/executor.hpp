// SPDX-License-Identifier: Apache-2.0
// The threads that run models: a few for all models together. A model that has work stands in line once for each batch,
// behind the others, so a busy model cannot starve a quiet one.
#pragma once
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/request.hpp"

namespace carnot::serve {

class Executor {
 public:
  class Task {
   public:
    virtual ~Task() = default;
    virtual void pump() = 0;  // on one of the executor's threads; several may be in it
  };

  explicit Executor(int threads);
  ~Executor();  // what still stands in line is dropped: drain first
  // Calls task->pump() soon, or at `when`. A task that is gone by then is skipped.
  void post(std::weak_ptr<Task> task);
  void post_at(Clock::time_point when, std::weak_ptr<Task> task);
  // From now on whatever waits in a queue is to be dropped instead of run.
  void abandon() { abandoned_ = true; }
  bool abandoned() const { return abandoned_; }

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::weak_ptr<Task>> line_;
  std::multimap<Clock::time_point, std::weak_ptr<Task>> later_;
  bool stop_ = false;
  std::atomic<bool> abandoned_{false};
  std::vector<std::thread> threads_;
};

}  // namespace carnot::serve
