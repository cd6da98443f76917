// SPDX-License-Identifier: Apache-2.0
// The part of a run that concerns a device: copies, launches and recordings.
#include <algorithm>
#include <limits>

#include "runtime/frame_detail.hpp"

namespace carnot::runtime {

namespace {
// Larger inputs are copied from where they lie: staging them would double the memory.
constexpr size_t kMostStaged = size_t{64} << 20;
}  // namespace

Result<int64_t*> Context::complaint(int32_t number) {
  if (number < 0) return nullptr;
  if (!complaints) {
    CARNOT_ASSIGN(complaints, on_device->device().allocate(engine->complainers().size() * sizeof(int64_t), device::Place::kShared));
  }
  return static_cast<int64_t*>(complaints.get()) + number;
}

Status Context::wait() {
  if (!busy) return {};
  busy = dirty = false;
  CARNOT_RETURN_IF_ERROR(stream->wait());
  if (!complaints) return {};
  auto* const words = static_cast<int64_t*>(complaints.get());
  const auto& complainers = engine->complainers();
  const auto first = std::find_if(words, words + complainers.size(), [](int64_t word) { return word != 0; });
  if (first == words + complainers.size()) return {};
  const int64_t index = *first;
  std::fill(words, words + complainers.size(), 0);
  const std::string& where = complainers[static_cast<size_t>(first - words)]->where;
  if (index == -std::numeric_limits<int64_t>::max()) return invalid("node {}: an index into an axis without elements", where);
  return invalid("node {}: index {} lies outside of the axis that it selects from", where, index);
}

bool Frame::given_on_device(size_t input) const { return main() && input < context_.input_on_device.size() && context_.input_on_device[input]; }
bool Frame::taken_on_device(size_t output) const { return main() && output < context_.output_on_device.size() && context_.output_on_device[output]; }

void Frame::find_segments(Resolved& resolved) const {
  for (size_t c = 0; c < plan_.commands.size(); ++c) {
    const LoadedCommand& command = plan_.commands[c];
    const bool fits = (command.on_device || (command.copies && !command.copies_input && command.copies_output < 0)) && !resolved.commands[c].dynamic;
    if (!fits) continue;
    auto& segments = resolved.segments;
    if (segments.empty() || segments.back().last + 1 != c) segments.push_back({c, c});
    segments.back().last = c;
    segments.back().touches_host = segments.back().touches_host || command.copies;
  }
}

// Room for the inputs that are copied to the device, and those of the device that commands of the host read.
Status Frame::take_inputs(std::span<const TensorView> inputs) {
  size_t bytes = 0;
  staging_offset_.assign(inputs.size(), SIZE_MAX);
  for (const LoadedCommand& command : plan_.commands) {
    if (!command.copies_input) continue;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (plan_.plan->inputs[i] != command.command->inputs[0] || staging_offset_[i] != SIZE_MAX || given_on_device(i) || inputs[i].bytes() > kMostStaged) continue;
      staging_offset_[i] = bytes;
      bytes += (inputs[i].bytes() + 63) / 64 * 64;
    }
  }
  if (bytes > 0) {
    CARNOT_RETURN_IF_ERROR(context_.wait());  // the last run may still read it
    CARNOT_RETURN_IF_ERROR(grow(staging_, std::max(bytes, staging_.capacity), Where::kPinned));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto b = static_cast<size_t>(plan_.plan->inputs[i]);
    if (!given_on_device(i) || !plan_.host_reads[b] || inputs[i].bytes() == 0) continue;
    CARNOT_RETURN_IF_ERROR(grow(owned_[b], std::max(inputs[i].bytes(), owned_[b].capacity), Where::kPinned));
    context_.busy = true;
    CARNOT_RETURN_IF_ERROR(context_.stream->copy(owned_[b].get(), inputs[i].data, inputs[i].bytes()));
    CARNOT_RETURN_IF_ERROR(context_.wait());
    views_[b].data = owned_[b].get();
  }
  return {};
}

Status Frame::run_copy(size_t index) {
  const Ready& ready = current_->commands[index];
  const LoadedCommand& command = plan_.commands[index];
  const TensorView &from = ready.in[0], &to = ready.out[0];
  if (from.bytes() != to.bytes()) return fail(Code::kDataCorrupt, "a copy of {} goes to {}", to_string(from.dims), to_string(to.dims));
  if (from.bytes() == 0) return {};
  // The caller wants it on the device: it goes there at the end.
  if (command.copies_output >= 0 && taken_on_device(static_cast<size_t>(command.copies_output))) return {};
  const void* data = from.data;
  if (command.copies_input)
    for (size_t i = 0; i < staging_offset_.size(); ++i) {
      if (plan_.plan->inputs[i] != command.command->inputs[0] || staging_offset_[i] == SIZE_MAX) continue;
      void* const staged = static_cast<char*>(staging_.get()) + staging_offset_[i];
      data = std::memcpy(staged, from.data, from.bytes());
    }
  context_.busy = context_.dirty = true;
  return context_.stream->copy(to.data, data, from.bytes());
}

Status Frame::run_on_device(size_t index) {
  Ready& ready = current_->commands[index];
  const device::Kernel& kernel = *kernel_of(index);
  if (ready.dynamic)
    CARNOT_RETURN_IF_ERROR(grow(device_workspace_, std::max(device_workspace_.capacity, kernel.workspace(ready.in, ready.out, context_.pool->threads())), Where::kDevice));
  CARNOT_ASSIGN(int64_t* const complaint, context_.complaint(plan_.commands[index].complaint));
  context_.stream->set_complaint(complaint);
  context_.busy = true;
  return kernel.run({ready.in, ready.out, device_workspace_.get(), context_.pool.get(), context_.stream.get()});
}

// One launch alone is mostly the host's work: the command is recorded many times over, and its replay is timed by the device.
Status Frame::timed_on_device(size_t index) {
  constexpr int kRepeats = 20;
  // Results in the place of operands would be computed from themselves.
  struct Kept {
    void* place;
    size_t bytes;
    device::Memory copy;
  };
  std::vector<Kept> kept;
  device::Stream& stream = *context_.stream;
  device::Device& device = context_.on_device->device();
  const engine::Command& c = *plan_.commands[index].command;
  for (const int32_t out : c.outputs) {
    const TensorView& to = views_[static_cast<size_t>(out)];
    const bool shared = std::any_of(c.inputs.begin(), c.inputs.end(), [&](int32_t in) {
      if (in < 0) return false;
      const TensorView& from = views_[static_cast<size_t>(in)];
      return from.data < static_cast<const char*>(to.data) + to.bytes() && to.data < static_cast<const char*>(from.data) + from.bytes();
    });
    if (!shared || to.bytes() == 0) continue;
    CARNOT_ASSIGN(device::Memory copy, device.allocate(to.bytes(), device::Place::kDevice));
    CARNOT_RETURN_IF_ERROR(stream.copy(copy.get(), to.data, to.bytes()));
    kept.push_back({to.data, to.bytes(), std::move(copy)});
  }
  // The first call loads code and times algorithms.
  CARNOT_RETURN_IF_ERROR(run_command(index));
  CARNOT_RETURN_IF_ERROR(context_.wait());
  CARNOT_RETURN_IF_ERROR(stream.begin_recording());
  Status status;
  for (int i = 0; i < kRepeats && status; ++i) status = run_command(index);
  auto recording = stream.end_recording();
  if (!status) return status;
  if (!recording) return std::move(recording.error());
  CARNOT_ASSIGN(const auto begin, device.make_event());
  CARNOT_ASSIGN(const auto end, device.make_event());
  double least = 0;
  for (int i = 0; i < 3; ++i) {
    CARNOT_RETURN_IF_ERROR(begin->record(stream));
    CARNOT_RETURN_IF_ERROR(stream.replay(**recording));
    CARNOT_RETURN_IF_ERROR(end->record(stream));
    CARNOT_RETURN_IF_ERROR(end->wait());
    CARNOT_ASSIGN(const double took, end->milliseconds_since(*begin));
    least = i == 0 ? took : std::min(least, took);
  }
  timings_[index].nanoseconds += static_cast<int64_t>(least * 1e6 / kRepeats);
  ++timings_[index].calls;
  if (kept.empty()) return {};
  for (const Kept& k : kept) CARNOT_RETURN_IF_ERROR(stream.copy(k.place, k.copy.get(), k.bytes));
  CARNOT_RETURN_IF_ERROR(run_command(index));
  return context_.wait();
}

Status Frame::run_segment(Segment& segment) {
  device::Stream& stream = *context_.stream;
  if (segment.generation != generation_) {
    segment.runs = 0;
    segment.recording.reset();
    segment.generation = generation_;
  }
  const auto run_all = [&]() -> Status {
    for (size_t c = segment.first; c <= segment.last; ++c) {
      Status status = run_command(c);
      if (!status) return std::move(status.error()).within(plan_.plan->commands[c].where);
    }
    return {};
  };
  // What is lazily loaded has been by the second run, so that it can be recorded.
  if (!segment.recording && segment.runs++ > 0 && !segment.refused) {
    CARNOT_RETURN_IF_ERROR(stream.begin_recording());
    Status status = run_all();
    auto recording = stream.end_recording();
    if (status && recording)
      segment.recording = std::move(*recording);
    else
      segment.refused = true;
  }
  context_.busy = true;
  context_.dirty = context_.dirty || segment.touches_host;
  return segment.recording ? stream.replay(*segment.recording) : run_all();
}

}  // namespace carnot::runtime
