// SPDX-License-Identifier: Apache-2.0
#include "instance.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "device_copy.hpp"

namespace carnot::triton {
namespace {

uint64_t now() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
}

std::string shape_text(const std::vector<int64_t>& dims) { return fmt::format("[{}]", fmt::join(dims, ",")); }

}  // namespace

MaybeFailure Instance::create(TRITONBACKEND_ModelInstance* handle, const Model& model,
                              std::unique_ptr<Instance>* instance) {
  TRITONSERVER_InstanceGroupKind kind{};
  int32_t device = 0;
  CARNOT_CALL(TRITONBACKEND_ModelInstanceKind(handle, &kind));
  CARNOT_CALL(TRITONBACKEND_ModelInstanceDeviceId(handle, &device));
  if (model.on_device() && kind == TRITONSERVER_INSTANCEGROUPKIND_CPU)
    return invalid(
        "the engine of model '{}' is for a GPU, and its instance_group says KIND_CPU: write KIND_GPU, or "
        "build the engine with --device cpu",
        model.name());
  if (!model.on_device() && kind == TRITONSERVER_INSTANCEGROUPKIND_GPU)
    log(TRITONSERVER_LOG_WARN,
        fmt::format("the engine of model '{}' is for the CPU: its instances run there, whatever GPU they are for",
                    model.name()));
  try {
    SessionOptions options{.threads = model.threads()};
    if (model.on_device()) options.device = fmt::format("cuda:{}", std::max(device, 0));
    instance->reset(new Instance(handle, model, Session(model.engine(), options), std::max(device, 0)));
  } catch (const Exception& e) {
    return failure(e.status() == CARNOT_OUT_OF_MEMORY ? TRITONSERVER_ERROR_UNAVAILABLE : TRITONSERVER_ERROR_INVALID_ARG,
                   "model '{}': {}", model.name(), e.what());
  }
  return std::nullopt;
}

Failure Instance::session_failure(carnot_status status) const {
  const auto code = status == CARNOT_INVALID_ARGUMENT ? TRITONSERVER_ERROR_INVALID_ARG
                    : status == CARNOT_OUT_OF_MEMORY  ? TRITONSERVER_ERROR_UNAVAILABLE
                                                      : TRITONSERVER_ERROR_INTERNAL;
  return failure(code, "model '{}': {}", model_.name(), carnot_last_error());
}

MaybeFailure Instance::read(TRITONBACKEND_Request* request, Item* item) const {
  item->request = request;
  bool cancelled = false;
  CARNOT_CALL(TRITONBACKEND_RequestIsCancelled(request, &cancelled));
  if (cancelled) return failure(TRITONSERVER_ERROR_CANCELLED, "the request was cancelled before it ran");
  const bool batched = model_.max_batch() > 0;
  for (const Tensor& tensor : model_.inputs()) {
    Input input;
    CARNOT_CALL(TRITONBACKEND_RequestInput(request, tensor.name.c_str(), &input.handle));
    TRITONSERVER_DataType type{};
    const int64_t* shape = nullptr;
    uint32_t rank = 0;
    CARNOT_CALL(
        TRITONBACKEND_InputProperties(input.handle, nullptr, &type, &shape, &rank, &input.bytes, &input.buffers));
    input.shape.assign(shape, shape + rank);
    if (type != tensor.type->triton)
      return invalid("input '{}' of model '{}' is {}", tensor.name, model_.name(), tensor.type->config);
    uint64_t bytes = tensor.size;
    for (int64_t d : input.shape)
      if (d < 0 || __builtin_mul_overflow(bytes, static_cast<uint64_t>(d), &bytes))
        return invalid("input '{}' of model '{}' has the shape {}", tensor.name, model_.name(),
                       shape_text(input.shape));
    if (bytes != input.bytes)
      return invalid("input '{}' of model '{}' has {} bytes, its shape {} takes {}", tensor.name, model_.name(),
                     input.bytes, shape_text(input.shape), bytes);
    if (batched) {
      const int64_t batch = rank > 0 ? shape[0] : -1;
      if (batch < 1 || (!item->inputs.empty() && batch != item->batch))
        return invalid("input '{}' of model '{}' has the shape {}: no batch, or another than the inputs before it",
                       tensor.name, model_.name(), shape_text(input.shape));
      item->batch = batch;
    }
    item->inputs.push_back(std::move(input));
  }
  return std::nullopt;
}

bool Instance::joins(const Item& a, const Item& b) const {
  if (model_.max_batch() == 0) return false;
  for (size_t i = 0; i < a.inputs.size(); ++i) {
    const auto &x = a.inputs[i].shape, &y = b.inputs[i].shape;
    if (x.size() != y.size() || !std::equal(x.begin() + 1, x.end(), y.begin() + 1)) return false;
  }
  return true;
}

MaybeFailure Instance::buffer(const Input& input, uint32_t index, Buffer* out) const {
  TRITONSERVER_MemoryType type = model_.on_device() ? TRITONSERVER_MEMORY_GPU : TRITONSERVER_MEMORY_CPU;
  out->device = model_.on_device() ? device_ : 0;
  CARNOT_CALL(TRITONBACKEND_InputBuffer(input.handle, index, &out->data, &out->bytes, &type, &out->device));
  out->on_gpu = type == TRITONSERVER_MEMORY_GPU;
  return std::nullopt;
}

MaybeFailure Instance::bind(std::span<Item> items, size_t index, int64_t batch) {
  const Tensor& tensor = model_.inputs()[index];
  std::vector<int64_t>& shape = shapes_[index];
  shape = items[0].inputs[index].shape;
  if (tensor.scalar) shape.clear();
  if (model_.max_batch() > 0) shape[0] = batch;
  uint64_t bytes = 0;
  for (const Item& item : items) bytes += item.inputs[index].bytes;
  carnot_tensor bound{tensor.type->dtype, shape.size(), shape.data(), nullptr, bytes};
  carnot_memory memory = CARNOT_MEMORY_HOST;

  Buffer first;
  const Input& only = items[0].inputs[index];
  const bool single = items.size() == 1 && only.buffers == 1;
  if (single)
    if (auto refused = buffer(only, 0, &first)) return refused;
  // In place where it lies, if the session can read there: kernels take elements as elements.
  const bool aligned = reinterpret_cast<uintptr_t>(first.data) % tensor.size == 0;
  const bool readable = !first.on_gpu || (model_.on_device() && first.device == device_);
  if (single && aligned && readable && first.bytes == bytes) {
    bound.data = const_cast<void*>(first.data);
    if (first.on_gpu) memory = CARNOT_MEMORY_DEVICE;
  } else {
    auto& gathered = gathered_[index];
    if (gathered.size() < bytes) gathered.resize(bytes);
    uint64_t at = 0;
    for (const Item& item : items) {
      const Input& input = item.inputs[index];
      const uint64_t end = at + input.bytes;
      for (uint32_t b = 0; b < input.buffers; ++b) {
        Buffer part;
        if (auto refused = buffer(input, b, &part)) return refused;
        if (part.bytes > end - at)
          return invalid("input '{}' of model '{}' has more bytes than its shape takes", tensor.name, model_.name());
        if (part.on_gpu) {
          if (auto refused = device_copy(gathered.data() + at, part.data, part.bytes, part.device)) return refused;
        } else if (part.bytes) {
          std::memcpy(gathered.data() + at, part.data, part.bytes);
        }
        at += part.bytes;
      }
      if (at != end)
        return invalid("input '{}' of model '{}' has fewer bytes than its shape takes", tensor.name, model_.name());
    }
    bound.data = gathered.data();
  }
  const carnot_status status = carnot_session_set_input_in(session_.get(), tensor.name.c_str(), &bound, memory);
  if (status != CARNOT_OK) return session_failure(status);
  return std::nullopt;
}

MaybeFailure Instance::collect(int64_t batch) {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    carnot_tensor& out = outputs_[i];
    const std::string& name = model_.outputs()[i].name;
    const carnot_status status = carnot_session_get_output(session_.get(), name.c_str(), &out);
    if (status != CARNOT_OK) return session_failure(status);
    if (model_.max_batch() > 0 && (out.rank == 0 || out.dims[0] != batch))
      return failure(TRITONSERVER_ERROR_INTERNAL,
                     "model '{}': output '{}' has no batch dim of {}; set max_batch_size: 0", model_.name(), name,
                     batch);
  }
  return std::nullopt;
}

MaybeFailure Instance::fill(const Item& item, int64_t first, int64_t batch, TRITONBACKEND_Response* response) const {
  uint32_t count = 0;
  CARNOT_CALL(TRITONBACKEND_RequestOutputCount(item.request, &count));
  for (uint32_t r = 0; r < count; ++r) {
    const char* name = nullptr;
    CARNOT_CALL(TRITONBACKEND_RequestOutputName(item.request, r, &name));
    size_t i = 0;
    while (i < outputs_.size() && model_.outputs()[i].name != name) ++i;
    if (i == outputs_.size()) return invalid("unexpected inference output '{}' for model '{}'", name, model_.name());
    const carnot_tensor& tensor = outputs_[i];
    std::vector<int64_t> shape(tensor.dims, tensor.dims + tensor.rank);
    if (shape.empty()) shape = {1};
    uint64_t bytes = tensor.bytes, from = 0;
    if (model_.max_batch() > 0) {
      const uint64_t each = tensor.bytes / static_cast<uint64_t>(batch);
      bytes = each * static_cast<uint64_t>(item.batch);
      from = each * static_cast<uint64_t>(first);
      shape[0] = item.batch;
    }
    TRITONBACKEND_Output* output = nullptr;
    CARNOT_CALL(TRITONBACKEND_ResponseOutput(response, &output, name, model_.outputs()[i].type->triton, shape.data(),
                                             static_cast<uint32_t>(shape.size())));
    void* target = nullptr;
    TRITONSERVER_MemoryType type = TRITONSERVER_MEMORY_CPU;
    int64_t device = 0;
    CARNOT_CALL(TRITONBACKEND_OutputBuffer(output, &target, bytes, &type, &device));
    const auto* source = static_cast<const std::byte*>(tensor.data) + from;
    if (type == TRITONSERVER_MEMORY_GPU) {
      if (bytes)
        if (auto refused = device_copy(target, source, bytes, device)) return refused;
    } else if (bytes) {
      std::memcpy(target, source, bytes);
    }
  }
  return std::nullopt;
}

void Instance::answer(const Item& item, int64_t first, int64_t batch, const Times& times) const {
  TRITONBACKEND_Response* response = nullptr;
  if (auto refused = taken(TRITONBACKEND_ResponseNew(&response, item.request)))
    return refuse(item.request, *refused, times);
  const MaybeFailure failed = fill(item, first, batch, response);
  // Before it is sent: a client that has its answer finds it counted.
  ignored(TRITONBACKEND_ModelInstanceReportStatistics(handle_, item.request, !failed, times.start, times.compute_start,
                                                      times.compute_end, now()));
  TRITONSERVER_Error* error = to_error(failed);
  ignored(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, error));
  ignored(error);
  ignored(TRITONBACKEND_RequestRelease(item.request, TRITONSERVER_REQUEST_RELEASE_ALL));
}

void Instance::refuse(TRITONBACKEND_Request* request, const Failure& why, const Times& times) const {
  const uint64_t end = now();
  const auto reached = [&](uint64_t time) { return time ? time : end; };
  ignored(TRITONBACKEND_ModelInstanceReportStatistics(handle_, request, false, times.start,
                                                      reached(times.compute_start), reached(times.compute_end), end));
  TRITONBACKEND_Response* response = nullptr;
  if (auto refused = taken(TRITONBACKEND_ResponseNew(&response, request))) {
    log(TRITONSERVER_LOG_ERROR, fmt::format("a request stays without an answer: {}", refused->text));
  } else {
    TRITONSERVER_Error* error = to_error(why);
    ignored(TRITONBACKEND_ResponseSend(response, TRITONSERVER_RESPONSE_COMPLETE_FINAL, error));
    ignored(error);
  }
  ignored(TRITONBACKEND_RequestRelease(request, TRITONSERVER_REQUEST_RELEASE_ALL));
}

void Instance::run(std::span<Item> items) {
  Times times{.start = now()};
  int64_t batch = 0;
  for (const Item& item : items) batch += item.batch;
  gathered_.resize(model_.inputs().size());
  shapes_.resize(model_.inputs().size());
  outputs_.resize(model_.outputs().size());
  MaybeFailure refused;
  try {
    for (size_t i = 0; i < model_.inputs().size() && !refused; ++i) refused = bind(items, i, batch);
  } catch (const std::bad_alloc&) {
    refused = failure(TRITONSERVER_ERROR_UNAVAILABLE, "model '{}': no memory for a batch of {}", model_.name(), batch);
  }
  times.compute_start = now();
  if (!refused)
    if (const carnot_status status = carnot_session_run(session_.get()); status != CARNOT_OK)
      refused = session_failure(status);
  times.compute_end = now();
  if (!refused) refused = collect(batch);
  // One request of several may be to blame: each gets a run, and its own answer.
  if (refused && items.size() > 1) {
    for (Item& item : items) run({&item, 1});
    return;
  }
  if (refused) return refuse(items[0].request, *refused, times);
  int64_t first = 0;
  for (const Item& item : items) {
    answer(item, first, batch, times);
    first += item.batch;
  }
  ignored(TRITONBACKEND_ModelInstanceReportBatchStatistics(handle_, static_cast<uint64_t>(batch), times.start,
                                                           times.compute_start, times.compute_end, now()));
}

void Instance::execute(std::span<TRITONBACKEND_Request* const> requests) noexcept {
  const Times begin{.start = now()};
  std::vector<Item> items;
  items.reserve(requests.size());
  for (TRITONBACKEND_Request* request : requests) {
    Item item;
    if (auto refused = read(request, &item))
      refuse(request, *refused, begin);
    else
      items.push_back(std::move(item));
  }
  // Requests of other shapes than the first's come together only where ragged batches are allowed: they run in turn.
  for (auto begin_of = items.begin(); begin_of != items.end();) {
    const auto end_of =
        std::stable_partition(begin_of + 1, items.end(), [&](const Item& item) { return joins(*begin_of, item); });
    run({begin_of, end_of});
    begin_of = end_of;
  }
}

}  // namespace carnot::triton
