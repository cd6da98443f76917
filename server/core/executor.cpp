// SPDX-License-Identifier: Apache-2.0
#include "core/executor.hpp"

namespace carnot::serve {

Executor::Executor(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

Executor::~Executor() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& t : threads_) t.join();
}

void Executor::post(std::weak_ptr<Task> task) {
  {
    std::lock_guard lock(mutex_);
    line_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void Executor::post_at(Clock::time_point when, std::weak_ptr<Task> task) {
  {
    std::lock_guard lock(mutex_);
    later_.emplace(when, std::move(task));
  }
  wake_.notify_one();
}

void Executor::work() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    while (!later_.empty() && later_.begin()->first <= Clock::now()) {
      line_.push_back(std::move(later_.begin()->second));
      later_.erase(later_.begin());
    }
    if (line_.empty()) {
      if (later_.empty()) {
        wake_.wait(lock);
      } else {
        // A copy: another thread may take the entry out meanwhile, and the time is looked at again after the wait.
        const Clock::time_point when = later_.begin()->first;
        wake_.wait_until(lock, when);
      }
      continue;
    }
    const std::weak_ptr<Task> next = std::move(line_.front());
    line_.pop_front();
    if (!line_.empty()) wake_.notify_one();
    lock.unlock();
    if (auto task = next.lock()) task->pump();
    lock.lock();
  }
}

}  // namespace carnot::serve
