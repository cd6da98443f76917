// SPDX-License-Identifier: Apache-2.0
#include "load/worker.hpp"

#include <sys/prctl.h>

namespace carnot::serve::load {
namespace {

constexpr std::chrono::milliseconds kLook{100};  // how often `stop` is looked at
constexpr std::chrono::seconds kPatience{10};    // for answers after the end
constexpr std::chrono::milliseconds kLate{1};

float us(Clock::duration d) { return std::chrono::duration<float, std::micro>(d).count(); }

}  // namespace

Worker::Worker(std::unique_ptr<Transport> transport, size_t slots, Shared& shared)
    : transport_(std::move(transport)), shared_(shared), slots_(slots) {}

void Worker::send(size_t slot, Clock::time_point due) {
  Slot& s = slots_[slot];
  s.due = due;
  if (shared_.sequence_length > 0) {
    s.place.first = s.left == 0;
    if (s.place.first) {
      s.left = shared_.sequence_length;
      s.place.id = std::to_string(shared_.next_sequence++);
    }
    s.place.last = --s.left == 0;
  }
  ++in_flight_;
  transport_->send(slot, sent_++ % shared_.samples, s.place);
}

void Worker::receive(Clock::time_point until, std::vector<size_t>* idle) {
  outcomes_.clear();
  transport_->wait(until, &outcomes_);
  if (outcomes_.empty()) return;
  std::lock_guard lock(mutex_);
  for (Outcome& o : outcomes_) {
    --in_flight_;
    idle->push_back(o.slot);
    Slot& slot = slots_[o.slot];
    if (!o.error.empty()) {
      ++batch_.errors[o.error];
      slot.left = 0;  // the sequence is broken
      continue;
    }
    const Moments& m = o.moments;
    batch_.good.push_back({us(m.end - slot.due), us(m.sent - m.start), us(m.answered - m.sent), us(m.end - m.answered),
                           m.start - slot.due > kLate});
  }
}

void Worker::finish(std::vector<size_t>* idle) {
  const auto end = Clock::now() + kPatience;
  while (in_flight_ > 0 && Clock::now() < end) receive(Clock::now() + kLook, idle);
}

void Worker::closed_loop() {
  std::vector<size_t> idle;
  for (size_t i = slots_.size(); i-- > 0;) idle.push_back(i);
  while (true) {
    while (!idle.empty() && shared_.take()) {
      const size_t slot = idle.back();
      idle.pop_back();
      send(slot, Clock::now());
    }
    if (in_flight_ == 0 || shared_.stop) break;
    receive(Clock::now() + kLook, &idle);
  }
  finish(&idle);
}

void Worker::open_loop(double rate, bool poisson, uint64_t seed, Clock::time_point start) {
  prctl(PR_SET_TIMERSLACK, 1);  // the default lets a wait last 50 us longer
  std::mt19937_64 random(seed);
  std::exponential_distribution<double> gap(rate);
  std::vector<size_t> idle;
  for (size_t i = slots_.size(); i-- > 0;) idle.push_back(i);
  std::deque<Clock::time_point> waiting;  // due, but every slot is busy: the wait is part of the latency
  Clock::time_point due = start;
  bool more = true;
  while (true) {
    const auto now = Clock::now();
    while (more && due <= now) {
      more = shared_.take();
      if (!more) break;
      waiting.push_back(due);
      due +=
          std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(poisson ? gap(random) : 1 / rate));
    }
    while (!waiting.empty() && !idle.empty()) {
      const size_t slot = idle.back();
      idle.pop_back();
      send(slot, waiting.front());
      waiting.pop_front();
    }
    if (shared_.stop || (!more && waiting.empty())) break;
    receive(std::min(more ? due : Clock::time_point::max(), now + kLook), &idle);
  }
  finish(&idle);
}

Batch Worker::take() {
  std::lock_guard lock(mutex_);
  return std::exchange(batch_, {});
}

}  // namespace carnot::serve::load
