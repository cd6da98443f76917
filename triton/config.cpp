// SPDX-License-Identifier: Apache-2.0
#include "config.hpp"

#include <algorithm>
#include <charconv>

#include "datatype.hpp"

namespace carnot::triton {
namespace {

using nlohmann::json;

// Protobuf writes 64-bit numbers as JSON strings, Triton itself as numbers.
std::optional<int64_t> integer(const json& value) {
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string text(const json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

const json& list(const json& object, const char* key) {
  static const json kEmpty = json::array();
  const auto it = object.find(key);
  return it != object.end() && it->is_array() ? *it : kEmpty;
}

std::optional<std::vector<int64_t>> dims_of(const json& values) {
  std::vector<int64_t> dims;
  for (const json& v : values) {
    const auto d = integer(v);
    if (!d || *d < -1) return std::nullopt;
    dims.push_back(*d);
  }
  return dims;
}

std::string shape_text(const std::vector<int64_t>& dims) { return fmt::format("[{}]", fmt::join(dims, ",")); }

// True if the first dim of all inputs and outputs is one and the same open dim.
bool can_batch(const std::vector<IoInfo>& inputs, const std::vector<IoInfo>& outputs) {
  if (inputs.empty() || outputs.empty() || inputs[0].dims.empty()) return false;
  const std::string& batch = inputs[0].dim_names[0];
  const auto same = [&](const IoInfo& io) { return !io.dims.empty() && io.dims[0] == -1 && io.dim_names[0] == batch; };
  return std::all_of(inputs.begin(), inputs.end(), same) && std::all_of(outputs.begin(), outputs.end(), same);
}

bool add_missing(const std::vector<IoInfo>& ios, bool batched, const char* key, json* config) {
  json& tensors = (*config)[key];
  if (!tensors.is_array()) tensors = json::array();
  bool added = false;
  for (const IoInfo& io : ios) {
    const bool known =
        std::any_of(tensors.begin(), tensors.end(), [&](const json& t) { return text(t, "name") == io.name; });
    const Datatype* type = datatype_of(io.dtype);
    if (known || !type) continue;  // a type without a name is refused by check()
    std::vector<int64_t> dims(io.dims.begin() + (batched && !io.dims.empty() ? 1 : 0), io.dims.end());
    if (dims.empty() && !batched) dims = {1};  // configurations cannot write "no dims"
    json tensor = {{"name", io.name}, {"data_type", type->config}, {"dims", dims}};
    // Behind the batch nothing is left: clients see [batch, 1], the engine [batch].
    if (dims.empty()) {
      tensor["dims"] = {1};
      tensor["reshape"] = {{"shape", json::array()}};
    }
    tensors.push_back(std::move(tensor));
    added = true;
  }
  return added;
}

MaybeFailure check_tensor(const json& tensor, const IoInfo& io, bool batched, const std::string& what) {
  const Datatype* type = datatype_of(io.dtype);
  if (!type) return invalid("{} has an element type that Triton does not know", what);
  if (text(tensor, "data_type") != type->config)
    return invalid("{}: config.pbtxt says {}, the engine has {}", what, text(tensor, "data_type"), type->config);
  const bool reshaped = tensor.contains("reshape") && tensor["reshape"].is_object();
  auto dims = dims_of(reshaped ? list(tensor["reshape"], "shape") : list(tensor, "dims"));
  if (!dims) return invalid("{}: its dims are no shape", what);
  if (batched) dims->insert(dims->begin(), -1);
  const bool scalar = io.dims.empty() && *dims == std::vector<int64_t>{1};
  bool fits = scalar || dims->size() == io.dims.size();
  for (size_t d = 0; fits && !scalar && d < dims->size(); ++d) fits = (*dims)[d] == io.dims[d] || io.dims[d] == -1;
  if (fits) return std::nullopt;
  return invalid("{}: config.pbtxt gives the shape {}{}, the engine has [{}]", what, shape_text(*dims),
                 batched ? " (with the batch dim that max_batch_size > 0 adds)" : "", fmt::join(io.dim_names, ","));
}

MaybeFailure check_tensors(const std::vector<IoInfo>& ios, const json& tensors, bool batched, const char* word) {
  for (const json& tensor : tensors) {
    const std::string name = text(tensor, "name");
    const auto io = std::find_if(ios.begin(), ios.end(), [&](const IoInfo& known) { return known.name == name; });
    if (io == ios.end()) {
      std::vector<std::string> names;
      for (const IoInfo& known : ios) names.push_back("'" + known.name + "'");
      return invalid("config.pbtxt names the {} '{}', the engine has {}", word, name, fmt::join(names, ", "));
    }
    if (auto refused = check_tensor(tensor, *io, batched, fmt::format("{} '{}'", word, name))) return refused;
  }
  return std::nullopt;
}

}  // namespace

MaybeFailure read_settings(const json& config, Settings* settings) {
  const auto batch = config.contains("max_batch_size") ? integer(config["max_batch_size"]) : std::optional<int64_t>(0);
  if (!batch || *batch < 0) return invalid("max_batch_size is no number from 0 on");
  settings->max_batch = *batch;
  settings->file = text(config, "default_model_filename");
  const auto parameters = config.find("parameters");
  if (parameters == config.end() || !parameters->is_object() || !parameters->contains("threads")) return std::nullopt;
  const json& threads = (*parameters)["threads"];
  const auto number = threads.is_object() && threads.contains("string_value") ? integer(threads["string_value"])
                                                                              : std::optional<int64_t>();
  if (!number || *number < 0 || *number > 1024)
    return invalid("the parameter 'threads' is no number from 0 (one per core) to 1024");
  settings->threads = static_cast<int>(*number);
  return std::nullopt;
}

void complete(const Engine& engine, int64_t default_max_batch, json* config, bool* changed) {
  const auto inputs = engine.inputs(), outputs = engine.outputs();
  const bool derived = list(*config, "input").empty() && list(*config, "output").empty();
  int64_t batch = config->contains("max_batch_size") ? integer((*config)["max_batch_size"]).value_or(0) : 0;
  *changed = false;
  if (derived && batch == 0 && default_max_batch > 0 && can_batch(inputs, outputs)) {
    (*config)["max_batch_size"] = batch = default_max_batch;
    const bool scheduled = config->contains("dynamic_batching") || config->contains("sequence_batching") ||
                           config->contains("ensemble_scheduling");
    if (!scheduled && batch > 1) (*config)["dynamic_batching"] = json::object();
    *changed = true;
  }
  if (add_missing(inputs, batch > 0, "input", config)) *changed = true;
  if (add_missing(outputs, batch > 0, "output", config)) *changed = true;
}

MaybeFailure check(const Engine& engine, const json& config) {
  Settings settings;
  if (auto refused = read_settings(config, &settings)) return refused;
  const auto inputs = engine.inputs(), outputs = engine.outputs();
  const bool batched = settings.max_batch > 0;
  if (batched)
    for (const auto* ios : {&inputs, &outputs})
      for (const IoInfo& io : *ios)
        if (io.dims.empty() || io.dims[0] != -1)
          return invalid(
              "max_batch_size is {}, but the first dim of {} '{}' is fixed: [{}]. Set max_batch_size: 0 and write the "
              "whole shape into dims, or build the engine with an open batch dim",
              settings.max_batch, ios == &inputs ? "input" : "output", io.name, fmt::join(io.dim_names, ","));
  if (config.contains("model_transaction_policy") && config["model_transaction_policy"].value("decoupled", false))
    return failure(TRITONSERVER_ERROR_UNSUPPORTED,
                   "a Carnot engine gives one response a request: decoupled must be false");
  if (auto refused = check_tensors(inputs, list(config, "input"), batched, "input")) return refused;
  if (auto refused = check_tensors(outputs, list(config, "output"), batched, "output")) return refused;
  for (const IoInfo& io : inputs) {
    const json& given = list(config, "input");
    if (std::none_of(given.begin(), given.end(), [&](const json& t) { return text(t, "name") == io.name; }))
      return invalid("config.pbtxt lacks the input '{}' of the engine", io.name);
  }
  return std::nullopt;
}

}  // namespace carnot::triton
