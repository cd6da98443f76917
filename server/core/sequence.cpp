// SPDX-License-Identifier: Apache-2.0
#include "core/sequence.hpp"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace carnot::serve {

// A request's turn in its sequence: over when the job is gone, answered or dropped.
class SequenceTurn : public Hidden {
 public:
  SequenceTurn(std::shared_ptr<Sequencer> sequencer, std::string id)
      : sequencer_(std::move(sequencer)), id_(std::move(id)) {}
  ~SequenceTurn() override {
    if (sequencer_) sequencer_->over(id_, *this);
  }
  std::array<std::byte, 8> number{};  // the id, where the model asks for it

 private:
  std::shared_ptr<Sequencer> sequencer_;  // nullptr: of a warm-up
  const std::string id_;
};

namespace {

using inference::ModelSequenceBatching;

// How long a request may wait for a place before somebody looks whether it is still wanted.
constexpr std::chrono::milliseconds kLook{100};

template <typename T>
std::vector<std::byte> bytes_of(T value) {
  std::vector<std::byte> out(sizeof value);
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

}  // namespace

Or<size_t> Sequencer::hidden_input(const std::string& name, const char* field) const {
  const auto& inputs = runner_->hidden_inputs();
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].name == name) return i;
  return invalid("sequence_batching {}: the engine has no input '{}'", field, name);
}

MaybeFault Sequencer::add_control(const ModelSequenceBatching::ControlInput& input) {
  const std::string where = fmt::format("sequence_batching control_input '{}'", input.name());
  auto index = hidden_input(input.name(), "control_input");
  if (!index) return index.fault();
  if (input.control_size() != 1) return invalid("{}: write one control", where);
  const auto& control = input.control(0);
  const IoSpec& spec = runner_->hidden_inputs()[*index];
  Role& role = roles_[*index];
  if (role.type) return invalid("{}: the input is named twice", where);
  role.type = spec.type;
  if (!spec.scalar) role.shape.assign(spec.dims.size() + (runner_->max_batch() > 0 ? 1 : 0), 1);
  for (int64_t d : spec.dims)
    if (d != -1 && d != 1)
      return invalid("{}: the engine's input has the dims {}, a control is one element", where, shape_text(spec.dims));
  const Datatype* said = nullptr;
  if (control.kind() == ModelSequenceBatching::Control::CONTROL_SEQUENCE_CORRID) {
    role.kind = Role::Kind::kId;
    said = datatype_of_config(control.data_type());
    if (!said || (said->dtype != CARNOT_U64 && said->dtype != CARNOT_I64 && said->dtype != CARNOT_U32 &&
                  said->dtype != CARNOT_I32))
      return invalid(
          "{}: data_type of CONTROL_SEQUENCE_CORRID must be TYPE_UINT64, TYPE_INT64, TYPE_UINT32 or TYPE_INT32", where);
  } else {
    role.kind = control.kind() == ModelSequenceBatching::Control::CONTROL_SEQUENCE_START ? Role::Kind::kStart
                : control.kind() == ModelSequenceBatching::Control::CONTROL_SEQUENCE_END ? Role::Kind::kEnd
                                                                                         : Role::Kind::kReady;
    const int lists = (control.int32_false_true_size() > 0) + (control.fp32_false_true_size() > 0) +
                      (control.bool_false_true_size() > 0);
    if (lists != 1) return invalid("{}: write one of int32_false_true, fp32_false_true, bool_false_true", where);
    const auto fill = [&](const auto& values, const char* type) -> MaybeFault {
      if (values.size() != 2) return invalid("{}: two values are needed, for false and for true", where);
      said = datatype_named(type);
      for (int i = 0; i < 2; ++i) role.values[static_cast<size_t>(i)] = bytes_of(values[i]);
      return std::nullopt;
    };
    MaybeFault refused;
    if (control.int32_false_true_size()) refused = fill(control.int32_false_true(), "INT32");
    if (control.fp32_false_true_size()) refused = fill(control.fp32_false_true(), "FP32");
    if (control.bool_false_true_size()) refused = fill(control.bool_false_true(), "BOOL");
    if (refused) return refused;
  }
  if (said != spec.type)
    return invalid("{}: the configuration says {}, the engine's input is {}", where, said->name, spec.type->name);
  return std::nullopt;
}

MaybeFault Sequencer::add_state(const ModelSequenceBatching::State& state, const std::string& folder) {
  const std::string where = fmt::format("sequence_batching state '{}'", state.input_name());
  auto index = hidden_input(state.input_name(), "state input_name");
  if (!index) return index.fault();
  const IoSpec& in = runner_->hidden_inputs()[*index];
  Role& role = roles_[*index];
  if (role.type) return invalid("{}: the input is named twice", where);
  role.kind = Role::Kind::kState;
  role.type = in.type;
  const auto& outputs = runner_->hidden_outputs();
  const auto out =
      std::find_if(outputs.begin(), outputs.end(), [&](const IoSpec& o) { return o.name == state.output_name(); });
  if (out == outputs.end())
    return invalid("{}: output_name: the engine has no output '{}' besides those of the configuration", where,
                   state.output_name());
  role.result = static_cast<size_t>(out - outputs.begin());
  const Datatype* said = datatype_of_config(state.data_type());
  if (said != in.type || said != out->type)
    return invalid("{}: data_type is {}, the engine's input is {}, its output {}", where,
                   inference::DataType_Name(state.data_type()), in.type->name, out->type->name);
  std::vector<int64_t> dims(state.dims().begin(), state.dims().end());
  const auto fits = [](const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
    bool same = a.size() == b.size();
    for (size_t d = 0; same && d < a.size(); ++d) same = a[d] == b[d] || b[d] == -1;
    return same;
  };
  const bool scalar = in.scalar && dims == std::vector<int64_t>{1};
  if (!scalar && (!fits(dims, in.dims) || !fits(dims, out->dims)))
    return invalid("{}: dims are {}, the engine's input has {}, its output {}", where, shape_text(dims),
                   shape_text(in.dims), shape_text(out->dims));
  if (state.initial_state_size() > 1) return invalid("{}: write one initial_state", where);
  std::vector<int64_t> first = dims;
  if (state.initial_state_size() == 1) {
    const auto& initial = state.initial_state(0);
    first.assign(initial.dims().begin(), initial.dims().end());
    if (initial.data_type() != state.data_type() || !fits(first, dims) || !element_count(first))
      return invalid("{}: initial_state '{}' has {} {}, the state {} {}", where, initial.name(),
                     inference::DataType_Name(initial.data_type()), shape_text(first),
                     inference::DataType_Name(state.data_type()), shape_text(dims));
  }
  for (int64_t& d : first)
    if (d == -1) d = 1;
  const auto count = element_count(first);
  if (!count || *count > (uint64_t{1} << 32) / said->size)
    return invalid("{}: dims {} are no possible size", where, shape_text(first));
  role.initial.data.resize(*count * said->size);
  role.initial.shape = scalar ? std::vector<int64_t>() : first;
  if (runner_->max_batch() > 0) role.initial.shape.insert(role.initial.shape.begin(), 1);
  if (state.initial_state_size() == 1 && !state.initial_state(0).data_file().empty()) {
    const std::string& name = state.initial_state(0).data_file();
    if (name.find('/') != std::string::npos || name[0] == '.')
      return invalid("{}: initial_state data_file '{}' is no plain file name", where, name);
    std::ifstream file(std::filesystem::path(folder) / "initial_state" / name, std::ios::binary);
    if (!file.read(reinterpret_cast<char*>(role.initial.data.data()),
                   static_cast<std::streamsize>(role.initial.data.size())))
      return invalid("{}: initial_state data_file '{}' is not there or has less than {} bytes", where, name,
                     role.initial.data.size());
  }
  return std::nullopt;
}

Or<std::shared_ptr<Sequencer>> Sequencer::make(const inference::ModelConfig& config, const std::string& folder,
                                               size_t max_queue, std::shared_ptr<const Runner> runner,
                                               std::shared_ptr<Target> queue, Executor& executor,
                                               std::shared_ptr<Statistics> statistics) {
  std::shared_ptr<Sequencer> s(new Sequencer);
  s->runner_ = std::move(runner);
  s->queue_ = std::move(queue);
  s->executor_ = &executor;
  s->statistics_ = std::move(statistics);
  s->max_queue_ = max_queue;
  const auto& b = config.sequence_batching();
  if (b.max_sequence_idle_microseconds()) {
    if (b.max_sequence_idle_microseconds() > 86'400'000'000)
      return invalid("sequence_batching max_sequence_idle_microseconds {} is more than a day",
                     b.max_sequence_idle_microseconds());
    s->idle_ = std::chrono::microseconds(b.max_sequence_idle_microseconds());
  }
  size_t instances = 0;
  for (const auto& group : config.instance_group()) instances += static_cast<size_t>(std::max(group.count(), 0));
  instances = std::max<size_t>(instances, 1);
  if (b.has_oldest()) {
    if (b.oldest().max_candidate_sequences() < 0)
      return invalid("sequence_batching oldest: max_candidate_sequences {} is negative",
                     b.oldest().max_candidate_sequences());
    if (b.oldest().max_candidate_sequences() > 0)
      s->slots_ = instances * static_cast<size_t>(b.oldest().max_candidate_sequences());
  } else {
    s->slots_ = instances * static_cast<size_t>(std::max<int64_t>(s->runner_->max_batch(), 1));
  }
  s->roles_.resize(s->runner_->hidden_inputs().size());
  for (const auto& input : b.control_input())
    if (auto refused = s->add_control(input)) return *refused;
  for (const auto& state : b.state())
    if (auto refused = s->add_state(state, folder)) return *refused;
  return s;
}

MaybeFault Sequencer::check(Job& job) const {
  if (auto refused = runner_->check(job)) return refused;
  const SequencePlace& place = job.request.sequence;
  const std::string& model = runner_->name();
  if (place.id.empty())
    return invalid("{}inference request to model '{}' must specify a non-zero or non-empty correlation ID",
                   id_prefix(job.request.id), model);
  if (job.batch != 1)
    return invalid(
        "{}inference request to model '{}' must specify batch-size 1 due to requirements of sequence batcher",
        id_prefix(job.request.id), model);
  for (const Role& role : roles_)
    if (role.kind == Role::Kind::kId && place.number == 0)
      return invalid("{}the sequence_id '{}' must be a number: model '{}' takes it as {}", id_prefix(job.request.id),
                     place.id, model, role.type->name);
  return std::nullopt;
}

std::unique_ptr<Hidden> Sequencer::turn(const SequencePlace& place, Sequence* sequence) const {
  auto self = sequence ? std::const_pointer_cast<Sequencer>(shared_from_this()) : nullptr;
  auto turn = std::make_unique<SequenceTurn>(std::move(self), place.id);
  std::memcpy(turn->number.data(), &place.number, sizeof place.number);
  for (size_t i = 0; i < roles_.size(); ++i) {
    const Role& role = roles_[i];
    InputTensor in{.name = runner_->hidden_inputs()[i].name, .type = role.type, .shape = role.shape};
    const auto flag = [&](bool on) {
      in.data = role.values[on].data();
      in.bytes = role.values[on].size();
    };
    switch (role.kind) {
      case Role::Kind::kStart:
        flag(place.start);
        break;
      case Role::Kind::kEnd:
        flag(place.end);
        break;
      case Role::Kind::kReady:
        flag(true);
        break;
      case Role::Kind::kId:  // little-endian: the low bytes are the narrower number
        in.data = turn->number.data();
        in.bytes = role.type->size;
        break;
      case Role::Kind::kState: {
        const Hidden::Result& state = sequence ? sequence->states[i] : role.initial;
        in.shape = state.shape;
        in.data = state.data.data();
        in.bytes = state.data.size();
        break;
      }
    }
    turn->inputs.push_back(std::move(in));
  }
  return turn;
}

void Sequencer::prepare(Job& job) const { job.hidden = turn({.id = "1", .number = 1, .start = true}, nullptr); }

std::unique_ptr<Job> Sequencer::next(const std::string& id, Sequence& sequence) {
  if (sequence.busy || sequence.waiting.empty()) return nullptr;
  if (!sequence.slot) {
    if (used_slots_ >= slots_) return nullptr;
    ++used_slots_;
    sequence.slot = true;
    std::erase(backlog_, id);
  }
  std::unique_ptr<Job> job = std::move(sequence.waiting.front());
  sequence.waiting.pop_front();
  --waiting_;
  sequence.busy = true;
  if (job->request.sequence.start) {
    sequence.states.clear();
    for (const Role& role : roles_) sequence.states.push_back(role.initial);
  }
  job->hidden = turn(job->request.sequence, &sequence);
  return job;
}

std::unique_ptr<Job> Sequencer::close(const std::string& id) {
  const auto it = sequences_.find(id);
  if (it->second->slot) --used_slots_;
  std::erase(backlog_, id);
  sequences_.erase(it);
  if (backlog_.empty()) return nullptr;
  const std::string first = backlog_.front();
  return next(first, *sequences_.at(first));
}

void Sequencer::submit(std::unique_ptr<Job> job, bool here) {
  MaybeFault refused = check(*job);
  job->queued = Clock::now();
  std::unique_ptr<Job> ready;
  if (!refused) {
    const SequencePlace place = job->request.sequence;
    std::lock_guard lock(mutex_);
    auto it = sequences_.find(place.id);
    if (!place.start && (it == sequences_.end() || !it->second->open)) {
      refused = invalid(
          "{}inference request for sequence {} to model '{}' must specify the START flag on the first request of the "
          "sequence",
          id_prefix(job->request.id), place.id, runner_->name());
    } else if (max_queue_ && waiting_ >= max_queue_) {
      refused = fault(Kind::kUnavailable, "{}Exceeds maximum queue size", id_prefix(job->request.id));
    } else {
      if (it == sequences_.end()) {
        it = sequences_.emplace(place.id, std::make_unique<Sequence>()).first;
        backlog_.push_back(place.id);
      }
      Sequence& sequence = *it->second;
      sequence.open = !place.end;
      sequence.used = job->queued;
      sequence.waiting.push_back(std::move(job));
      ++waiting_;
      ready = next(place.id, sequence);
      if (!sequence.slot) watch(Clock::now());
    }
  }
  if (refused) {
    statistics_->failed(refused->kind == Kind::kUnavailable ? Failure::kRejected : Failure::kOther, job->received);
    job->done({.fault = &*refused});
    return;
  }
  if (ready) queue_->submit(std::move(ready), here);
}

void Sequencer::over(const std::string& id, Hidden& turn) {
  std::unique_ptr<Job> ready;
  {
    std::lock_guard lock(mutex_);
    const auto it = sequences_.find(id);
    if (it == sequences_.end()) return;
    Sequence& sequence = *it->second;
    sequence.busy = false;
    sequence.used = Clock::now();
    // A request that failed leaves the state as it was.
    for (size_t i = 0; turn.succeeded && i < roles_.size(); ++i)
      if (roles_[i].kind == Role::Kind::kState) sequence.states[i] = std::move(turn.results[roles_[i].result]);
    if (sequence.waiting.empty() && !sequence.open)
      ready = close(id);
    else
      ready = next(id, sequence);
    watch(Clock::now());
  }
  // On another thread: this one may be deep in the answers of a long queue.
  if (ready) queue_->submit(std::move(ready), false);
}

void Sequencer::pump() {
  std::vector<std::unique_ptr<Job>> ready, gone;
  {
    std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    if (now >= watch_at_) watch_at_ = Clock::time_point::max();
    std::vector<std::string> idle;
    for (const auto& [id, sequence] : sequences_) {
      // Their turn may be far off, or never come once the server is leaving.
      std::erase_if(sequence->waiting, [&](std::unique_ptr<Job>& job) {
        if (!executor_->abandoned() && !job->cancelled()) return false;
        --waiting_;
        gone.push_back(std::move(job));
        return true;
      });
      if (!sequence->busy && sequence->waiting.empty() &&
          (!sequence->open || !sequence->slot || now - sequence->used >= idle_))
        idle.push_back(id);
    }
    for (const std::string& id : idle)
      if (auto job = close(id)) ready.push_back(std::move(job));
    watch(now);
  }
  for (auto& job : gone) {
    statistics_->failed(Failure::kCanceled, job->received);
    const Fault why = fault(Kind::kCancelled, "{}Request was cancelled", id_prefix(job->request.id));
    job->done({.fault = &why});
  }
  for (auto& job : ready) queue_->submit(std::move(job), false);
}

// Under the mutex: orders a look for when the first sequence may have been idle for too long; sooner if requests wait
// for a place.
void Sequencer::watch(Clock::time_point now) {
  if (sequences_.empty()) return;
  Clock::time_point first = backlog_.empty() ? Clock::time_point::max() : now + kLook;
  if (watch_at_ <= std::min(first, now + kLook)) return;
  for (const auto& [id, sequence] : sequences_) first = std::min(first, sequence->used + idle_);
  first = std::max(first, now + std::chrono::milliseconds(1));
  if (first >= watch_at_) return;
  watch_at_ = first;
  executor_->post_at(first, weak_from_this());
}

size_t Sequencer::pending() const {
  std::lock_guard lock(mutex_);
  return waiting_ + queue_->pending();
}

}  // namespace carnot::serve
