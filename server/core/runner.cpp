// SPDX-License-Identifier: Apache-2.0
#include "core/runner.hpp"

#include <algorithm>
#include <cstring>

#include "core/classification.hpp"

namespace carnot::serve {
namespace {

constexpr const char* kBatchNote =
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each "
    "input shape. If you want to "
    "specify the full shape including the batch dim in your input dims config, try setting max_batch_size to zero. See "
    "the model configuration "
    "docs for more info on max_batch_size.";

template <typename Tensor>
IoSpec spec_of(const Tensor& tensor) {
  IoSpec spec{.name = tensor.name(),
              .type = datatype_of_config(tensor.data_type()),
              .dims = {tensor.dims().begin(), tensor.dims().end()}};
  if (tensor.has_reshape()) {
    spec.reshaped = true;
    spec.reshape.assign(tensor.reshape().shape().begin(), tensor.reshape().shape().end());
  }
  return spec;
}

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

Runner::Runner(Engine engine, const inference::ModelConfig& config)
    : name_(config.name()), engine_(std::move(engine)), max_batch_(config.max_batch_size()) {
  // In the engine's order, which the client sees in the metadata.
  for (const IoInfo& io : engine_.inputs()) {
    for (const auto& tensor : config.input())
      if (tensor.name() == io.name) inputs_.push_back(spec_of(tensor));
    inputs_.back().scalar = io.dims.empty();
  }
  for (const IoInfo& io : engine_.outputs())
    for (const auto& tensor : config.output())
      if (tensor.name() == io.name) outputs_.push_back(spec_of(tensor));
}

MaybeFault Runner::check_input(const IoSpec& spec, const InputTensor& input, const std::string& id) const {
  if (input.type != spec.type)
    return invalid("{}inference input '{}' data-type is '{}', but model '{}' expects '{}'", id_prefix(id), spec.name,
                   input.type->name, name_, spec.type->name);
  const size_t skip = max_batch_ > 0 ? 1 : 0;
  bool fits = input.shape.size() == spec.dims.size() + skip;
  for (size_t d = 0; fits && d < spec.dims.size(); ++d)
    fits = spec.dims[d] == -1 || spec.dims[d] == input.shape[d + skip];
  if (!fits && spec.scalar) fits = element_count(input.shape) == 1u;
  if (!fits) {
    if (skip && input.shape.empty())
      return invalid("{}input '{}' has no shape but model requires batch dimension for '{}'", id_prefix(id), spec.name,
                     name_);
    std::vector<int64_t> expected = spec.dims;
    if (skip) expected.insert(expected.begin(), -1);
    return invalid("{}unexpected shape for input '{}' for model '{}'. Expected {}, got {}. {}", id_prefix(id),
                   spec.name, name_, shape_text(expected), shape_text(input.shape), skip ? kBatchNote : "");
  }
  const auto count = element_count(input.shape);
  uint64_t bytes = 0;
  if (!count || __builtin_mul_overflow(*count, spec.type->size, &bytes) || bytes > uint64_t{1} << 47)
    return invalid("{}shape {} of input '{}' for model '{}' is no possible size", id_prefix(id),
                   shape_text(input.shape), spec.name, name_);
  if (bytes != input.bytes)
    return invalid("{}input byte size mismatch for input '{}' for model '{}'. Expected {}, got {}", id_prefix(id),
                   spec.name, name_, bytes, input.bytes);
  return std::nullopt;
}

MaybeFault Runner::check(Job& job) const {
  const InferRequest& request = job.request;
  job.order.assign(inputs_.size(), -1);
  for (size_t i = 0; i < request.inputs.size(); ++i) {
    const auto spec =
        std::find_if(inputs_.begin(), inputs_.end(), [&](const IoSpec& s) { return s.name == request.inputs[i].name; });
    if (spec == inputs_.end())
      return invalid("unexpected inference input '{}' for model '{}'", request.inputs[i].name, name_);
    int& slot = job.order[static_cast<size_t>(spec - inputs_.begin())];
    if (slot >= 0)
      return invalid("{}input '{}' already exists in request", id_prefix(request.id), request.inputs[i].name);
    slot = static_cast<int>(i);
  }
  if (request.inputs.size() != inputs_.size()) {
    std::string got, missing;
    for (const InputTensor& input : request.inputs) got += (got.empty() ? "'" : ",'") + input.name + "'";
    for (size_t i = 0; i < inputs_.size(); ++i)
      if (job.order[i] < 0) missing += (missing.empty() ? "'" : ",'") + inputs_[i].name + "'";
    return invalid(
        "{}expected {} inputs but got {} inputs for model '{}'. Got input(s) [{}], but missing required input(s) [{}]. "
        "Please provide all required input(s).",
        id_prefix(request.id), inputs_.size(), request.inputs.size(), name_, got, missing);
  }
  for (size_t i = 0; i < request.outputs.size(); ++i) {
    const std::string& name = request.outputs[i].name;
    if (std::none_of(outputs_.begin(), outputs_.end(), [&](const IoSpec& s) { return s.name == name; }))
      return invalid("unexpected inference output '{}' for model '{}'", name, name_);
  }
  // One that is asked for twice is given once.
  auto& wanted = job.request.outputs;
  for (auto it = wanted.begin(); it != wanted.end();)
    it = std::any_of(wanted.begin(), it, [&](const OutputRequest& o) { return o.name == it->name; }) ? wanted.erase(it)
                                                                                                     : it + 1;
  job.batch = 1;
  if (max_batch_ > 0 && !inputs_.empty()) {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const auto& shape = request.inputs[static_cast<size_t>(job.order[i])].shape;
      const int64_t batch = shape.empty() ? -1 : shape[0];
      if (i == 0) job.batch = batch;
      if (batch < 0) continue;  // a shape without a batch dim: refused below, with the shape that was expected
      if (batch != job.batch)
        return invalid("{}input '{}' batch size does not match other inputs for '{}'", id_prefix(request.id),
                       inputs_[i].name, name_);
      if (batch < 1 || batch > max_batch_)
        return invalid("{}inference request batch-size must be {} {} for '{}'", id_prefix(request.id),
                       batch < 1 ? ">=" : "<=", batch < 1 ? 1 : max_batch_, name_);
    }
  }
  for (size_t i = 0; i < inputs_.size(); ++i)
    if (auto refused = check_input(inputs_[i], request.inputs[static_cast<size_t>(job.order[i])], request.id))
      return refused;
  return std::nullopt;
}

bool Runner::compatible(const Job& a, const Job& b) const {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const auto& x = a.request.inputs[static_cast<size_t>(a.order[i])].shape;
    const auto& y = b.request.inputs[static_cast<size_t>(b.order[i])].shape;
    if (x.size() != y.size() || !std::equal(x.begin() + 1, x.end(), y.begin() + 1)) return false;
  }
  return true;
}

MaybeFault Runner::bind_input(Instance& instance, size_t index, std::span<const std::unique_ptr<Job>> jobs,
                              int64_t batch) const {
  const IoSpec& spec = inputs_[index];
  const auto input_of = [&](const Job& job) -> const InputTensor& {
    return job.request.inputs[static_cast<size_t>(job.order[index])];
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
  instance.gathered_.resize(inputs_.size());
  instance.shapes_.resize(inputs_.size());
  for (size_t i = 0; i < inputs_.size(); ++i)
    if (auto refused = bind_input(instance, i, jobs, batch)) return refused;
  return std::nullopt;
}

MaybeFault Runner::collect(Instance& instance, int64_t batch, std::vector<carnot_tensor>* outputs) const {
  outputs->resize(outputs_.size());
  for (size_t i = 0; i < outputs_.size(); ++i) {
    carnot_tensor& tensor = (*outputs)[i];
    const carnot_status status = carnot_session_get_output(instance.session_.get(), outputs_[i].name.c_str(), &tensor);
    if (status != CARNOT_OK) return engine_fault(status, name_);
    if (max_batch_ > 0 && (tensor.rank == 0 || tensor.dims[0] != batch))
      return fault(Kind::kInternal, "model '{}': output '{}' has no batch dim of {}; set max_batch_size: 0", name_,
                   outputs_[i].name, batch);
  }
  return std::nullopt;
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
      if (out.bytes) std::memcpy(request->target, out.data, out.bytes);
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
    const carnot_status status = carnot_session_run(instance.session_.get());
    if (status != CARNOT_OK) refused = engine_fault(status, name_);
  }
  times.infer_end = Clock::now();
  if (!refused) refused = collect(instance, batch, &outputs);
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
