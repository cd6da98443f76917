// SPDX-License-Identifier: Apache-2.0
// One thread that does what takes long (loading models), one thing after the other, so that threads of sockets never
// wait for it.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace carnot::serve {

class Lane {
 public:
  Lane() : thread_([this] { work(); }) {}
  ~Lane() {  // what has not begun is dropped
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }
  void post(std::function<void()> what) {
    {
      std::lock_guard lock(mutex_);
      line_.push_back(std::move(what));
    }
    wake_.notify_one();
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return stop_ || !line_.empty(); });
      if (stop_) return;
      auto what = std::move(line_.front());
      line_.pop_front();
      lock.unlock();
      what();
      what = nullptr;
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> line_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace carnot::serve
