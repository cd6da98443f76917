// SPDX-License-Identifier: Apache-2.0
#include "core/scheduler.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <thread>

namespace carnot::serve {
namespace {

// A run shorter than this is done on the thread that received the request: handing it over costs 10 to 50 us.
constexpr double kQuickUs = 300;
// A wait of which fewer than this share brought company is not worth its time; every so often one is tried again.
constexpr double kLeastGain = 0.2;
constexpr uint64_t kProbeEvery = 64;

QueuePolicy policy_of(const inference::ModelQueuePolicy& p, size_t default_queue) {
  return {.delay = p.timeout_action() == inference::ModelQueuePolicy::DELAY,
          .timeout_us = p.default_timeout_microseconds(),
          .allow_override = p.allow_timeout_override(),
          .max_size = p.max_queue_size() ? p.max_queue_size() : default_queue};
}

uint64_t item_bytes(const Job& job) {
  uint64_t bytes = 0;
  for (const InputTensor& input : job.request.inputs) bytes += input.bytes;
  return bytes / static_cast<uint64_t>(std::max<int64_t>(job.batch, 1));
}

}  // namespace

SchedulerOptions SchedulerOptions::from(const inference::ModelConfig& config, int default_threads,
                                        size_t default_queue) {
  SchedulerOptions o;
  o.levels[0].max_size = default_queue;
  o.instances = 0;
  for (const auto& group : config.instance_group()) o.instances += group.count();
  o.instances = std::max(o.instances, 1);
  o.threads = default_threads;
  // Instances that run at the same time share the processors.
  if (o.threads == 0 && o.instances > 1)
    o.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / o.instances);
  if (auto it = config.parameters().find("threads"); it != config.parameters().end()) {
    const std::string& text = it->second.string_value();
    int threads = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), threads).ec == std::errc() && threads >= 0 &&
        threads <= 1024)
      o.threads = threads;
  }
  if (config.has_sequence_batching()) {
    o.for_sequences(config);
    return o;
  }
  if (!config.has_dynamic_batching()) return o;
  const auto& b = config.dynamic_batching();
  o.join = true;
  o.preferred.assign(b.preferred_batch_size().begin(), b.preferred_batch_size().end());
  std::sort(o.preferred.begin(), o.preferred.end());
  o.max_delay = std::chrono::microseconds(b.max_queue_delay_microseconds());
  o.preserve_ordering = b.preserve_ordering();
  if (b.has_default_queue_policy()) o.levels[0] = policy_of(b.default_queue_policy(), default_queue);
  if (b.priority_levels() > 0) {
    o.levels.resize(b.priority_levels(), o.levels[0]);
    o.default_level = b.default_priority_level() - 1;
    for (const auto& [level, policy] : b.priority_queue_policy())
      o.levels[level - 1] = policy_of(policy, default_queue);
  }
  return o;
}

// Requests of different sequences that are due at the same time.
void SchedulerOptions::for_sequences(const inference::ModelConfig& config) {
  const auto& b = config.sequence_batching();
  join = config.max_batch_size() > 0;
  levels[0].max_size = 0;  // the sequences' own queues have the limit
  if (b.has_oldest()) {
    preferred.assign(b.oldest().preferred_batch_size().begin(), b.oldest().preferred_batch_size().end());
    max_delay = std::chrono::microseconds(std::min<uint64_t>(b.oldest().max_queue_delay_microseconds(), 60'000'000));
    preserve_ordering = b.oldest().preserve_ordering();
  } else if (b.direct().minimum_slot_utilization() > 0) {
    // The delay is for batches below the utilization that is asked for.
    const auto least = static_cast<int64_t>(std::ceil(b.direct().minimum_slot_utilization() * static_cast<float>(config.max_batch_size())));
    for (int64_t n = std::max<int64_t>(least, 1); n <= config.max_batch_size(); ++n) preferred.push_back(n);
    max_delay = std::chrono::microseconds(std::min<uint64_t>(b.direct().max_queue_delay_microseconds(), 60'000'000));
  }
  std::sort(preferred.begin(), preferred.end());
}

Scheduler::Scheduler(SchedulerOptions options, std::shared_ptr<const Runner> runner, int64_t version,
                     Executor& executor, std::shared_ptr<Statistics> statistics)
    : options_(std::move(options)),
      runner_(std::move(runner)),
      version_(version),
      executor_(executor),
      statistics_(std::move(statistics)),
      queues_(options_.levels.size() + 1) {
  // In order means one after the other.
  const int instances = options_.preserve_ordering ? 1 : options_.instances;
  for (int i = 0; i < instances; ++i) idle_.push_back(runner_->make_instance(options_.threads));
}

size_t Scheduler::queued() const {
  size_t n = 0;
  for (const auto& q : queues_) n += q.size();
  return n;
}

size_t Scheduler::pending() const {
  std::lock_guard lock(mutex_);
  return queued() + running_;
}

void Scheduler::submit(std::unique_ptr<Job> job, bool here) {
  MaybeFault refused = runner_->check(*job);
  if (job->queued == Clock::time_point()) job->queued = Clock::now();  // else it has waited for its sequence's turn
  std::unique_lock lock(mutex_, std::defer_lock);
  if (!refused) {
    lock.lock();
    const InferRequest& request = job->request;
    job->level = request.priority == 0 || options_.levels.size() == 1
                     ? options_.default_level
                     : std::min<size_t>(request.priority - 1, options_.levels.size() - 1);
    const QueuePolicy& policy = options_.levels[job->level];
    uint64_t timeout = policy.timeout_us;
    if (policy.allow_override && request.timeout_us && (timeout == 0 || request.timeout_us < timeout))
      timeout = request.timeout_us;
    if (timeout) job->deadline = job->queued + std::chrono::microseconds(std::min<uint64_t>(timeout, 86'400'000'000));
    if (here && !idle_.empty() && run_us_ < kQuickUs && queued() == 0 &&
        (options_.max_delay.count() == 0 || wait_gain_ < kLeastGain)) {
      if (options_.max_delay.count() && ++waits_skipped_ % kProbeEvery == 0) wait_gain_ = kLeastGain;
      Jobs jobs;
      jobs.push_back(std::move(job));
      auto instance = std::move(idle_.back());
      idle_.pop_back();
      return run(lock, std::move(instance), std::move(jobs));
    }
    if (policy.max_size && queues_[job->level].size() >= policy.max_size)
      refused = fault(Kind::kUnavailable, "{}Exceeds maximum queue size", id_prefix(request.id));
  }
  if (refused) {
    if (lock.owns_lock()) lock.unlock();
    statistics_->failed(refused->kind == Kind::kUnavailable ? Failure::kRejected : Failure::kOther, job->received);
    job->done({.fault = &*refused});
    return;
  }
  const Clock::time_point deadline = job->deadline;
  enqueue(std::move(job));
  const bool wake = !idle_.empty();
  lock.unlock();
  if (wake) executor_.post(weak_from_this());
  if (deadline != Clock::time_point::max()) executor_.post_at(deadline, weak_from_this());
}

void Scheduler::enqueue(std::unique_ptr<Job> job) {
  with_deadline_ += job->deadline != Clock::time_point::max();
  auto& queue = queues_[job->level];
  queue.push_back(std::move(job));
}

void Scheduler::sweep(Clock::time_point now, Jobs* late, Jobs* gone) {
  for (size_t level = 0; level < queues_.size(); ++level) {
    auto& queue = queues_[level];
    for (size_t i = 0; i < queue.size();) {
      const bool cancelled = queue[i]->cancelled() || executor_.abandoned();
      const bool expired = level < options_.levels.size() && queue[i]->deadline <= now;
      if (!cancelled && !expired) {
        ++i;
        continue;
      }
      std::unique_ptr<Job> job = std::move(queue[i]);
      queue.erase(queue.begin() + static_cast<std::ptrdiff_t>(i));
      with_deadline_ -= job->deadline != Clock::time_point::max();
      if (!cancelled && options_.levels[level].delay) {
        job->deadline = Clock::time_point::max();
        queues_.back().push_back(std::move(job));
      } else {
        (cancelled ? gone : late)->push_back(std::move(job));
      }
    }
  }
}

bool Scheduler::worth_waiting() {
  if (wait_gain_ >= kLeastGain) return true;
  return ++waits_skipped_ % kProbeEvery == 0;
}

Scheduler::Jobs Scheduler::form(Clock::time_point now, Clock::time_point* wake) {
  *wake = Clock::time_point::max();
  const auto first = std::find_if(queues_.begin(), queues_.end(), [](const auto& q) { return !q.empty(); });
  Jobs jobs;
  if (first == queues_.end()) return jobs;
  const Job& head = *first->front();
  std::vector<std::pair<size_t, size_t>> taken;  // (level, how many) in order
  int64_t batch = head.batch;
  size_t count = 1;
  std::vector<int64_t> sums = {batch};
  taken.emplace_back(static_cast<size_t>(first - queues_.begin()), 1);
  if (options_.join) {
    bool full = false;
    for (size_t level = taken[0].first; level < queues_.size() && !full; ++level) {
      if (level != taken[0].first) taken.emplace_back(level, 0);
      for (size_t i = level == taken[0].first ? 1 : 0; i < queues_[level].size(); ++i) {
        const Job& job = *queues_[level][i];
        if (batch + job.batch > runner_->max_batch() || !runner_->compatible(head, job)) {
          full = true;  // those behind would overtake
          break;
        }
        batch += job.batch;
        sums.push_back(batch);
        ++taken.back().second;
        ++count;
      }
    }
    const bool preferred =
        std::find(options_.preferred.begin(), options_.preferred.end(), batch) != options_.preferred.end();
    if (options_.max_delay.count() && !full && !preferred) {
      const auto until = head.queued + options_.max_delay;
      if (now < until && (queued_at_wait_ || worth_waiting())) {
        if (!queued_at_wait_) queued_at_wait_ = count;
        *wake = until;
        return jobs;
      }
    }
    if (queued_at_wait_) {
      wait_gain_ = 0.8 * wait_gain_ + 0.2 * (count > queued_at_wait_ ? 1 : 0);
      queued_at_wait_ = 0;
    }
    // More than a preferred size and not full: the preferred part now, the rest with those to come.
    if (options_.max_delay.count() && !preferred)
      for (size_t n = count; n-- > 1;)
        if (std::find(options_.preferred.begin(), options_.preferred.end(), sums[n - 1]) != options_.preferred.end()) {
          count = n;
          break;
        }
    // Who asks for sizes gets them; the largest alone is what a configuration says that asks for none.
    if (count > 1 && (options_.preferred.empty() || options_.preferred.front() >= runner_->max_batch())) {
      const int64_t most = run_time_.worth(item_bytes(head), sums[count - 1]);
      while (count > 1 && sums[count - 1] > most) --count;
    }
  }
  for (auto [level, n] : taken)
    for (; n > 0 && jobs.size() < count; --n) {
      with_deadline_ -= queues_[level].front()->deadline != Clock::time_point::max();
      jobs.push_back(std::move(queues_[level].front()));
      queues_[level].pop_front();
    }
  return jobs;
}

void Scheduler::run(std::unique_lock<std::mutex>& lock, std::unique_ptr<Instance> instance, Jobs jobs) {
  running_ += jobs.size();
  const uint64_t bytes = item_bytes(*jobs[0]);
  int64_t batch = 0;
  for (const auto& job : jobs) batch += job->batch;
  const auto self = shared_from_this();  // the last done() may be the end of this version
  lock.unlock();
  const auto begin = Clock::now();
  runner_->run(*instance, jobs, version_, *statistics_);
  const double us = std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
  const size_t count = jobs.size();
  lock.lock();
  run_us_ = run_us_ > 1e8 ? us : 0.8 * run_us_ + 0.2 * us;
  if (options_.join) run_time_.learn(bytes, batch, us);
  running_ -= count;
  idle_.push_back(std::move(instance));
  const bool more = queued() > 0;
  lock.unlock();
  if (more) executor_.post(weak_from_this());
  // Last: what follows from a job (the next step, the next request of its sequence) may need this instance.
  jobs.clear();
}

void Scheduler::refuse(Jobs& late, Jobs& gone) {
  for (auto& job : late) {
    statistics_->failed(Failure::kRejected, job->received);
    const Fault why = fault(Kind::kUnavailable, "{}Request timeout expired", id_prefix(job->request.id));
    job->done({.fault = &why});
  }
  for (auto& job : gone) {
    statistics_->failed(Failure::kCanceled, job->received);
    const Fault why = fault(Kind::kCancelled, "{}Request was cancelled", id_prefix(job->request.id));
    job->done({.fault = &why});
  }
}

void Scheduler::pump() {
  Jobs late, gone;
  std::unique_lock lock(mutex_);
  const auto now = Clock::now();
  sweep(now, &late, &gone);
  Clock::time_point wake = Clock::time_point::max();
  Jobs jobs;
  std::unique_ptr<Instance> instance;
  if (!idle_.empty()) jobs = form(now, &wake);
  if (!jobs.empty()) {
    instance = std::move(idle_.back());
    idle_.pop_back();
    // Another thread may serve the next instance meanwhile.
    if (!idle_.empty() && queued() > 0) executor_.post(weak_from_this());
  }
  lock.unlock();
  if (wake != Clock::time_point::max()) executor_.post_at(wake, weak_from_this());
  refuse(late, gone);
  if (jobs.empty()) return;
  lock.lock();
  run(lock, std::move(instance), std::move(jobs));
}

}  // namespace carnot::serve
