// SPDX-License-Identifier: Apache-2.0
#include "core/signature.hpp"

#include <algorithm>

namespace carnot::serve {
namespace {

constexpr const char* kBatchNote =
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each "
    "input shape. If you want to "
    "specify the full shape including the batch dim in your input dims config, try setting max_batch_size to zero. See "
    "the model configuration "
    "docs for more info on max_batch_size.";

}  // namespace

Signature::Signature(const inference::ModelConfig& config) : name_(config.name()), max_batch_(config.max_batch_size()) {
  for (const auto& tensor : config.input()) inputs_.push_back(spec_of(tensor));
  for (const auto& tensor : config.output()) outputs_.push_back(spec_of(tensor));
}

MaybeFault Signature::check_input(const IoSpec& spec, const InputTensor& input, const std::string& id) const {
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

MaybeFault Signature::check(Job& job) const {
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

bool Signature::compatible(const Job& a, const Job& b) const {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const auto& x = a.request.inputs[static_cast<size_t>(a.order[i])].shape;
    const auto& y = b.request.inputs[static_cast<size_t>(b.order[i])].shape;
    if (x.size() != y.size() || !std::equal(x.begin() + 1, x.end(), y.begin() + 1)) return false;
  }
  for (size_t i = 0; a.hidden && i < a.hidden->inputs.size(); ++i)
    if (a.hidden->inputs[i].shape != b.hidden->inputs[i].shape) return false;
  return true;
}

}  // namespace carnot::serve
