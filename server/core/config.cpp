// SPDX-License-Identifier: Apache-2.0
#include "core/config.hpp"

#include <algorithm>
#include <set>

#include "core/datatype.hpp"

namespace carnot::serve {
namespace {

std::string engine_shape(const IoInfo& io) {
  std::string text = "[";
  for (const std::string& d : io.dim_names) text += (text.size() > 1 ? "," : "") + d;
  return text + "]";
}

// The dims of `io` as a configuration writes them: without the batch, which max_batch_size stands for.
template <typename Tensor>
void derive(const IoInfo& io, bool batched, Tensor* out) {
  out->set_name(io.name);
  out->set_data_type(static_cast<inference::DataType>(datatype_of(io.dtype)->config));
  for (size_t d = batched ? 1 : 0; d < io.dims.size(); ++d) out->add_dims(io.dims[d]);
}

template <typename Tensor>
MaybeFault check_tensor(const Tensor& tensor, const IoInfo& io, bool batched, const std::string& what) {
  const Datatype* type = datatype_of_config(tensor.data_type());
  if (!type || type->dtype != io.dtype)
    return invalid("{}: config.pbtxt says {}, the engine has TYPE_{}", what,
                   inference::DataType_Name(tensor.data_type()), datatype_of(io.dtype)->name);
  std::vector<int64_t> dims(tensor.dims().begin(), tensor.dims().end());
  if (tensor.has_reshape()) {
    const auto& shape = tensor.reshape().shape();
    const auto open = std::count(dims.begin(), dims.end(), -1), open_after = std::count(shape.begin(), shape.end(), -1);
    if (open != open_after || open > 1)
      return invalid("{}: reshape needs the same open dim, at most one, before and after", what);
    int64_t before = 1, after = 1;
    for (int64_t d : dims)
      if (d != -1 && (d < 0 || __builtin_mul_overflow(before, d, &before)))
        return invalid("{}: dims {} are no shape", what, shape_text(dims));
    for (int64_t d : shape)
      if (d != -1 && (d < 0 || __builtin_mul_overflow(after, d, &after)))
        return invalid("{}: reshape is no shape", what);
    if (before != after) return invalid("{}: reshape has {} elements, dims have {}", what, after, before);
    dims.assign(shape.begin(), shape.end());
  }
  if (batched) dims.insert(dims.begin(), -1);
  const bool scalar = io.dims.empty() && dims == std::vector<int64_t>{1};  // configurations cannot write "no dims"
  bool fits = scalar || dims.size() == io.dims.size();
  for (size_t d = 0; fits && !scalar && d < dims.size(); ++d)
    fits = dims[d] == io.dims[d] || (io.dims[d] == -1 && dims[d] >= -1);
  if (!fits)
    return invalid("{}: config.pbtxt gives the shape {}{}, the engine has {}", what, shape_text(dims),
                   batched ? " (with the batch dim that max_batch_size > 0 adds)" : "", engine_shape(io));
  return std::nullopt;
}

// Inputs and outputs of the engine that clients do not see: controls and states of sequences.
std::set<std::string> hidden_names(const inference::ModelConfig& config) {
  std::set<std::string> names;
  for (const auto& input : config.sequence_batching().control_input()) names.insert(input.name());
  for (const auto& state : config.sequence_batching().state()) names.insert({state.input_name(), state.output_name()});
  return names;
}

template <typename List>
MaybeFault complete_tensors(const std::vector<IoInfo>& ios, bool batched, const std::set<std::string>& hidden,
                            const char* word, List* list) {
  for (const IoInfo& io : ios) {
    if (!datatype_of(io.dtype))
      return invalid("{} '{}' has an element type that the protocol does not know", word, io.name);
    const auto known = std::find_if(list->begin(), list->end(), [&](const auto& t) { return t.name() == io.name; });
    if (known == list->end() && hidden.contains(io.name)) continue;
    if (known == list->end())
      derive(io, batched, list->Add());
    else if (auto refused = check_tensor(*known, io, batched, fmt::format("{} '{}'", word, io.name)))
      return refused;
  }
  for (const auto& tensor : *list) {
    const auto known = std::find_if(ios.begin(), ios.end(), [&](const IoInfo& io) { return io.name == tensor.name(); });
    if (known != ios.end()) continue;
    std::string names;
    for (const IoInfo& io : ios) names += (names.empty() ? "'" : ", '") + io.name + "'";
    return invalid("config.pbtxt names the {} '{}', the engine has {}", word, tensor.name(), names);
  }
  return std::nullopt;
}

MaybeFault check_scheduling(const inference::ModelConfig& config) {
  if (config.has_sequence_batching() && config.response_cache().enable())
    return invalid("response_cache: the answers of a model with sequence_batching depend on more than the request");
  if (config.model_transaction_policy().decoupled())
    return fault(Kind::kUnsupported, "a Carnot engine gives one response a request: decoupled must be false");
  for (const auto& group : config.instance_group()) {
    if (group.kind() == inference::ModelInstanceGroup::KIND_GPU)
      return fault(Kind::kUnsupported, "instance_group KIND_GPU: this build runs on CPUs; write KIND_CPU or KIND_AUTO");
    if (group.count() < 0 || group.count() > 256)
      return invalid("instance_group count {} does not lie in [1, 256]", group.count());
  }
  if (!config.has_dynamic_batching()) return std::nullopt;
  const auto& b = config.dynamic_batching();
  if (config.max_batch_size() == 0) return invalid("dynamic_batching needs max_batch_size > 0");
  for (int size : b.preferred_batch_size())
    if (size < 1 || size > config.max_batch_size())
      return invalid("preferred_batch_size {} does not lie in [1, max_batch_size = {}]", size, config.max_batch_size());
  if (b.max_queue_delay_microseconds() > 60'000'000)
    return invalid("max_queue_delay_microseconds {} is more than a minute", b.max_queue_delay_microseconds());
  if (b.priority_levels() > 64) return invalid("priority_levels {} is more than 64", b.priority_levels());
  if (b.priority_levels() > 0 && (b.default_priority_level() < 1 || b.default_priority_level() > b.priority_levels()))
    return invalid("default_priority_level {} does not lie in [1, priority_levels = {}]", b.default_priority_level(),
                   b.priority_levels());
  for (const auto& [level, policy] : b.priority_queue_policy())
    if (level < 1 || level > b.priority_levels())
      return invalid("priority_queue_policy names level {}, priority_levels is {}", level, b.priority_levels());
  return std::nullopt;
}

}  // namespace

bool can_batch(const Engine& engine) {
  const auto inputs = engine.inputs(), outputs = engine.outputs();
  if (inputs.empty() || outputs.empty()) return false;
  if (inputs[0].dims.empty() || inputs[0].dims[0] != -1) return false;
  const std::string& batch = inputs[0].dim_names[0];
  const auto same = [&](const IoInfo& io) { return !io.dims.empty() && io.dims[0] == -1 && io.dim_names[0] == batch; };
  return std::all_of(inputs.begin(), inputs.end(), same) && std::all_of(outputs.begin(), outputs.end(), same);
}

MaybeFault complete_config(const Engine& engine, bool derived, inference::ModelConfig* config) {
  const auto inputs = engine.inputs(), outputs = engine.outputs();
  if (config->max_batch_size() < 0) return invalid("max_batch_size {} is negative", config->max_batch_size());
  if (derived && can_batch(engine) && config->max_batch_size() == 0) {
    config->set_max_batch_size(kDefaultMaxBatch);
    if (config->scheduling_choice_case() == inference::ModelConfig::SCHEDULING_CHOICE_NOT_SET)
      config->mutable_dynamic_batching();
  }
  const bool batched = config->max_batch_size() > 0;
  const auto closed = [](const IoInfo& io) { return io.dims.empty() || io.dims[0] != -1; };
  if (batched)
    for (const auto* list : {&inputs, &outputs})
      for (const IoInfo& io : *list)
        if (closed(io))
          return invalid(
              "max_batch_size is {}, but the first dim of {} '{}' is fixed: {}. Set max_batch_size: 0 and write the "
              "whole shape into dims, or build the engine with an open batch dim",
              config->max_batch_size(), list == &inputs ? "input" : "output", io.name, engine_shape(io));
  const auto hidden = hidden_names(*config);
  if (auto refused = complete_tensors(inputs, batched, hidden, "input", config->mutable_input())) return refused;
  if (auto refused = complete_tensors(outputs, batched, hidden, "output", config->mutable_output())) return refused;
  if (auto refused = check_scheduling(*config)) return refused;
  if (config->has_sequence_batching() && !config->sequence_batching().has_oldest())
    config->mutable_sequence_batching()->mutable_direct();
  if (config->has_sequence_batching() && config->sequence_batching().max_sequence_idle_microseconds() == 0)
    config->mutable_sequence_batching()->set_max_sequence_idle_microseconds(1'000'000);
  if (config->has_dynamic_batching() && config->dynamic_batching().preferred_batch_size().empty())
    config->mutable_dynamic_batching()->add_preferred_batch_size(config->max_batch_size());
  if (config->backend().empty() && config->platform().empty()) config->set_backend("carnot");
  // Nothing here is pinned or prioritised; clients read these fields without asking whether they are there.
  config->mutable_optimization()->mutable_input_pinned_memory()->set_enable(true);
  config->mutable_optimization()->mutable_output_pinned_memory()->set_enable(true);
  if (!config->has_version_policy()) config->mutable_version_policy()->mutable_latest()->set_num_versions(1);
  if (config->instance_group().empty()) {
    auto* group = config->add_instance_group();
    group->set_count(1);
    group->set_kind(inference::ModelInstanceGroup::KIND_CPU);
  }
  for (int i = 0; i < config->instance_group_size(); ++i) {
    auto* group = config->mutable_instance_group(i);
    if (group->name().empty()) group->set_name(fmt::format("{}_{}", config->name(), i));
    if (group->count() == 0) group->set_count(1);
    if (group->kind() == inference::ModelInstanceGroup::KIND_AUTO)
      group->set_kind(inference::ModelInstanceGroup::KIND_CPU);
  }
  return std::nullopt;
}

}  // namespace carnot::serve
