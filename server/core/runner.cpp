// SPDX-License-Identifier: Apache-2.0
#include "core/runner.hpp"

#include <algorithm>
#include <cstring>

#include "core/classification.hpp"

namespace carnot::serve {
namespace {

Fault engine_fault(carnot_status status, const std::string& model) {
  const Kind kind = status == CARNOT_INVALID_ARGUMENT ? Kind::kInvalid
                    : status == CARNOT_OUT_OF_MEMORY  ? Kind::kUnavailable
                                                      : Kind::kInternal;
  return fault(kind, "model '{}': {}", model, carnot_last_error());
}

// The elements that stand for the one open dim of `dims`, if there is one: total / (product of the others).
std::vector<int64_t> fill_open(std::vector<int64_t> dims, uint64_t total) {
  uint64_t known = 1;
  for (int64_t d : dims)
    if (d != -1) known *= static_cast<uint64_t>(d);
  for (int64_t& d : dims)
    if (d == -1) d = static_cast<int64_t>(known ? total / known : 0);
  return dims;
}

}  // namespace

Runner::Runner(Engine engine, const inference::ModelConfig& config) : engine_(std::move(engine)) {
  name_ = config.name();
  max_batch_ = config.max_batch_size();
  const auto sort = [&](const std::vector<IoInfo>& ios, const auto& tensors, std::vector<IoSpec>* seen,
                        std::vector<IoSpec>* hidden) {
    // In the engine's order, which the client sees in the metadata.
    for (const IoInfo& io : ios) {
      const auto tensor =
          std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name() == io.name; });
      if (tensor != tensors.end()) {
        seen->push_back(spec_of(*tensor));
        seen->back().scalar = io.dims.empty();
        continue;
      }
      hidden->push_back({.name = io.name, .type = datatype_of(io.dtype), .dims = io.dims, .scalar = io.dims.empty()});
      if (max_batch_ > 0) hidden->back().dims.erase(hidden->back().dims.begin());
    }
  };
  sort(engine_.inputs(), config.input(), &inputs_, &hidden_inputs_);
  sort(engine_.outputs(), config.output(), &outputs_, &hidden_outputs_);
}

MaybeFault Runner::bind_input(Instance& instance, size_t index, std::span<const std::unique_ptr<Job>> jobs,
                              int64_t batch) const {
  const bool seen = index < inputs_.size();
  const IoSpec& spec = seen ? inputs_[index] : hidden_inputs_[index - inputs_.size()];
  const auto input_of = [&](const Job& job) -> const InputTensor& {
    return seen ? job.request.inputs[static_cast<size_t>(job.order[index])]
                : job.hidden->inputs[index - inputs_.size()];
  };
  const InputTensor& first = input_of(*jobs[0]);
  std::vector<int64_t>& shape = instance.shapes_[index];
  shape = first.shape;
  if (spec.scalar) shape.clear();
  if (max_batch_ > 0) shape[0] = batch;
  size_t bytes = 0;
  for (const auto& job : jobs) bytes += input_of(*job).bytes;
  if (spec.reshaped) {
    const uint64_t items = max_batch_ > 0 ? static_cast<uint64_t>(batch) : 1;
    shape = fill_open(spec.reshape, bytes / spec.type->size / std::max<uint64_t>(items, 1));
    if (max_batch_ > 0) shape.insert(shape.begin(), batch);
  }
  const std::byte* data = first.data;
  // Data that arrived behind text of any length may be unaligned; kernels take elements as elements.
  if (jobs.size() > 1 || reinterpret_cast<uintptr_t>(data) % spec.type->size != 0) {
    auto& gathered = instance.gathered_[index];
    if (gathered.size() < bytes) gathered.resize(bytes);
    size_t at = 0;
    for (const auto& job : jobs) {
      const InputTensor& input = input_of(*job);
      if (input.bytes) std::memcpy(gathered.data() + at, input.data, input.bytes);
      at += input.bytes;
    }
    data = gathered.data();
  }
  const carnot_tensor tensor{spec.type->dtype, shape.size(), shape.data(), const_cast<std::byte*>(data), bytes};
  const carnot_status status = carnot_session_set_input(instance.session_.get(), spec.name.c_str(), &tensor);
  if (status != CARNOT_OK) return engine_fault(status, name_);
  return std::nullopt;
}

MaybeFault Runner::bind(Instance& instance, std::span<const std::unique_ptr<Job>> jobs, int64_t batch) const {
  const size_t count = inputs_.size() + hidden_inputs_.size();
  if (!hidden_inputs_.empty())
    for (const auto& job : jobs)
      if (!job->hidden || job->hidden->inputs.size() != hidden_inputs_.size())
        return fault(Kind::kInternal, "model '{}' runs without the tensors of its sequence", name_);
  instance.gathered_.resize(count);
  instance.shapes_.resize(count);
  for (size_t i = 0; i < count; ++i)
    if (auto refused = bind_input(instance, i, jobs, batch)) return refused;
  return std::nullopt;
}

// A request that runs alone has its outputs written where it wants them, if their size is known before the run.
void Runner::bind_targets(Instance& instance, const Job& job) const {
  instance.bound_.assign(outputs_.size(), false);
  for (const OutputRequest& wanted : job.request.outputs) {
    if (!wanted.target || wanted.classification) continue;
    size_t i = 0;
    while (outputs_[i].name != wanted.name) ++i;
    const auto count = element_count(outputs_[i].dims);
    if (!count || *count == 0 || *count > wanted.target_bytes) continue;
    const size_t bytes = *count * outputs_[i].type->size * static_cast<size_t>(job.batch);
    const std::byte *begin = wanted.target, *end = begin + bytes;
    bool clear = bytes <= wanted.target_bytes && reinterpret_cast<uintptr_t>(begin) % outputs_[i].type->size == 0;
    // Results may be written while inputs are still being read.
    for (const InputTensor& input : job.request.inputs)
      clear = clear && (input.data + input.bytes <= begin || end <= input.data);
    for (const OutputRequest& other : job.request.outputs)
      clear = clear && (&other == &wanted || !other.target || other.target + other.target_bytes <= begin ||
                        begin + wanted.target_bytes <= other.target);
    if (!clear) continue;
    const carnot_tensor tensor{outputs_[i].type->dtype, 0, nullptr, wanted.target, bytes};
    instance.bound_[i] =
        carnot_session_set_output(instance.session_.get(), outputs_[i].name.c_str(), &tensor) == CARNOT_OK;
  }
}

void Runner::unbind_targets(Instance& instance) const {
  for (size_t i = 0; i < instance.bound_.size(); ++i)
    if (instance.bound_[i]) carnot_session_set_output(instance.session_.get(), outputs_[i].name.c_str(), nullptr);
  instance.bound_.clear();
}

MaybeFault Runner::collect(Instance& instance, int64_t batch, std::vector<carnot_tensor>* outputs) const {
  outputs->resize(outputs_.size() + hidden_outputs_.size());
  for (size_t i = 0; i < outputs->size(); ++i) {
    const std::string& name = i < outputs_.size() ? outputs_[i].name : hidden_outputs_[i - outputs_.size()].name;
    carnot_tensor& tensor = (*outputs)[i];
    const carnot_status status = carnot_session_get_output(instance.session_.get(), name.c_str(), &tensor);
    if (status != CARNOT_OK) return engine_fault(status, name_);
    if (max_batch_ > 0 && (tensor.rank == 0 || tensor.dims[0] != batch))
      return fault(Kind::kInternal, "model '{}': output '{}' has no batch dim of {}; set max_batch_size: 0", name_,
                   name, batch);
  }
  return std::nullopt;
}

// Hidden outputs are the state that the sequence's next request begins with.
void Runner::keep_hidden(Job& job, const std::vector<carnot_tensor>& outputs, int64_t first, int64_t batch) const {
  job.hidden->results.resize(hidden_outputs_.size());
  for (size_t i = 0; i < hidden_outputs_.size(); ++i) {
    const carnot_tensor& tensor = outputs[outputs_.size() + i];
    Hidden::Result& result = job.hidden->results[i];
    const size_t item = max_batch_ > 0 ? tensor.bytes / static_cast<size_t>(batch) : tensor.bytes;
    const auto* data = static_cast<const std::byte*>(tensor.data) + item * static_cast<size_t>(first);
    result.data.assign(data, data + item * static_cast<size_t>(max_batch_ > 0 ? job.batch : 1));
    result.shape.assign(tensor.dims, tensor.dims + tensor.rank);
    if (max_batch_ > 0) result.shape[0] = job.batch;
  }
  job.hidden->succeeded = true;
}

MaybeFault Runner::reply_to(Job& job, const std::vector<carnot_tensor>& outputs, int64_t first, int64_t batch,
                            InferReply* reply) const {
  const auto& wanted = job.request.outputs;
  reply->outputs.clear();
  for (size_t w = 0; w < (wanted.empty() ? outputs_.size() : wanted.size()); ++w) {
    const OutputRequest* request = wanted.empty() ? nullptr : &wanted[w];
    size_t i = w;
    if (request)
      for (i = 0; outputs_[i].name != request->name;) ++i;
    const IoSpec& spec = outputs_[i];
    const carnot_tensor& tensor = outputs[i];
    OutputTensor out{
        .name = &spec.name, .type = spec.type, .shape = {tensor.dims, tensor.dims + tensor.rank}, .request = request};
    const size_t total = tensor.bytes;
    out.bytes = max_batch_ > 0 ? total / static_cast<size_t>(batch) * static_cast<size_t>(job.batch) : total;
    out.data = static_cast<const std::byte*>(tensor.data) +
               (max_batch_ > 0 ? total / static_cast<size_t>(batch) * static_cast<size_t>(first) : 0);
    if (max_batch_ > 0) out.shape[0] = job.batch;
    if (spec.reshaped) {
      const uint64_t items = max_batch_ > 0 ? static_cast<uint64_t>(job.batch) : 1;
      out.shape = fill_open(spec.dims, out.bytes / spec.type->size / items);
      if (max_batch_ > 0) out.shape.insert(out.shape.begin(), job.batch);
    }
    if (request && request->target) {
      if (out.bytes > request->target_bytes)
        return invalid("{}shared memory for output '{}' holds {} bytes, {} are needed", id_prefix(job.request.id),
                       spec.name, request->target_bytes, out.bytes);
      if (out.bytes && out.data != request->target) std::memcpy(request->target, out.data, out.bytes);
      out.data = nullptr;
    }
    reply->outputs.push_back(std::move(out));
  }
  return std::nullopt;
}

void Runner::run(Instance& instance, std::span<const std::unique_ptr<Job>> jobs, int64_t version,
                 Statistics& statistics) const {
  RunTimes times;
  times.start = Clock::now();
  int64_t batch = 0;
  for (const auto& job : jobs) batch += job->batch;
  times.batch = batch;
  std::vector<carnot_tensor> outputs;
  MaybeFault refused = bind(instance, jobs, batch);
  times.input_end = Clock::now();
  if (!refused) {
    if (jobs.size() == 1) bind_targets(instance, *jobs[0]);
    const carnot_status status = carnot_session_run(instance.session_.get());
    if (status != CARNOT_OK) refused = engine_fault(status, name_);
  }
  times.infer_end = Clock::now();
  if (!refused) refused = collect(instance, batch, &outputs);
  unbind_targets(instance);
  if (refused && jobs.size() > 1) {
    for (const auto& job : jobs) run(instance, {&job, 1}, version, statistics);
    return;
  }
  InferReply reply{.model = &name_, .version = version};
  int64_t first = 0;
  for (const auto& job : jobs) {
    MaybeFault own = refused;
    Labelled labelled;
    if (!own) own = reply_to(*job, outputs, first, batch, &reply);
    if (!own && job->hidden) keep_hidden(*job, outputs, first, batch);
    if (!own && job->sink) job->sink->take(reply);
    if (!own) own = classify(outputs_, max_batch_ > 0, &reply, &labelled);
    first += job->batch;
    // Before done(): a client that has its answer finds it counted.
    times.end = Clock::now();
    job->times = times;
    if (own) {
      statistics.failed(Failure::kBackend, job->received);
    } else {
      if (job == jobs.front()) statistics.ran(batch, times);
      statistics.succeeded(job->received, job->queued, job->batch, times);
    }
    if (own) own->text = own->text.starts_with("[request") ? own->text : id_prefix(job->request.id) + own->text;
    const InferReply failure{.fault = own ? &*own : nullptr};
    job->done(own ? failure : reply);
  }
}

}  // namespace carnot::serve
