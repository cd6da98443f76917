// SPDX-License-Identifier: Apache-2.0
#include "grpc/convert.hpp"

#include <limits>

namespace carnot::serve {
namespace {

using Parameters = google::protobuf::Map<std::string, inference::InferParameter>;
using Input = inference::ModelInferRequest::InferInputTensor;

constexpr int kMaxTensors = 1024;  // of a request, each way

Or<std::optional<uint64_t>> number(const Parameters& parameters, const char* name) {
  const auto it = parameters.find(name);
  if (it == parameters.end()) return std::optional<uint64_t>();
  const auto& p = it->second;
  if (p.has_uint64_param()) return std::optional<uint64_t>(p.uint64_param());
  if (p.has_int64_param() && p.int64_param() >= 0)
    return std::optional<uint64_t>(static_cast<uint64_t>(p.int64_param()));
  return invalid("invalid value type for '{}' parameter, expected int64_param that is not negative", name);
}

// The shared memory that parameters name, if they do.
struct RegionUse {
  std::string name;
  uint64_t offset = 0, bytes = 0;
  SharedMemory::Part part;
};

Or<std::optional<RegionUse>> region_of(const Core& core, const Parameters& parameters) {
  const auto it = parameters.find("shared_memory_region");
  if (it == parameters.end()) return std::optional<RegionUse>();
  if (!it->second.has_string_param())
    return invalid("invalid value type for 'shared_memory_region', expected string_param");
  auto bytes = number(parameters, "shared_memory_byte_size");
  if (!bytes) return bytes.fault();
  if (!*bytes) return invalid("'shared_memory_region' needs 'shared_memory_byte_size'");
  auto offset = number(parameters, "shared_memory_offset");
  if (!offset) return offset.fault();
  RegionUse use{.name = it->second.string_param(), .offset = offset->value_or(0), .bytes = **bytes};
  auto part = core.shared_memory.find(use.name, use.offset, use.bytes);
  if (!part) return part.fault();
  use.part = *part;
  return std::optional<RegionUse>(std::move(use));
}

// Elements that lie in the message as the tensor needs them are used in place.
template <typename T>
void in_place(const google::protobuf::RepeatedField<T>& field, InputTensor* input) {
  input->data = reinterpret_cast<const std::byte*>(field.data());
  input->bytes = static_cast<size_t>(field.size()) * sizeof(T);
}

template <typename To, typename From>
MaybeFault narrow(const google::protobuf::RepeatedField<From>& field, MessageJob& job, InputTensor* input) {
  auto& bytes = job.converted.emplace_back(static_cast<size_t>(field.size()) * sizeof(To));
  auto* out = reinterpret_cast<To*>(bytes.data());
  for (From v : field) {
    if (v < From{std::numeric_limits<To>::min()} || v > From{std::numeric_limits<To>::max()})
      return invalid("value {} of input '{}' does not fit into {}", v, input->name, input->type->name);
    *out++ = static_cast<To>(v);
  }
  input->data = bytes.data();
  input->bytes = bytes.size();
  return std::nullopt;
}

// The type that the first field with elements stands for; null if there is none.
const char* type_of_contents(const inference::InferTensorContents& c) {
  return c.bool_contents_size()     ? "BOOL"
         : c.int_contents_size()    ? "INT32"
         : c.int64_contents_size()  ? "INT64"
         : c.uint_contents_size()   ? "UINT32"
         : c.uint64_contents_size() ? "UINT64"
         : c.fp32_contents_size()   ? "FP32"
         : c.fp64_contents_size()   ? "FP64"
         : c.bytes_contents_size()  ? "BYTES"
                                    : nullptr;
}

// The field that a type's elements stand in.
std::string_view type_of_field(const Datatype& type) {
  switch (type.dtype) {
    case CARNOT_I8:
    case CARNOT_I16:
      return "INT32";
    case CARNOT_U8:
    case CARNOT_U16:
      return "UINT32";
    default:
      return type.name;
  }
}

MaybeFault read_contents(const inference::InferTensorContents& c, MessageJob& job, InputTensor* input) {
  const char* given = type_of_contents(c);
  const bool raw_only = input->type->dtype == CARNOT_F16 || input->type->dtype == CARNOT_BF16;
  if (given && !raw_only && given != type_of_field(*input->type))
    return invalid(
        "unexpected explicit tensor data for input tensor '{}' for model '{}' of type '{}', expected datatype '{}'",
        input->name, job.request.model, given, input->type->name);
  switch (input->type->dtype) {
    case CARNOT_BOOL:
      in_place(c.bool_contents(), input);
      break;
    case CARNOT_I8:
      return narrow<int8_t>(c.int_contents(), job, input);
    case CARNOT_I16:
      return narrow<int16_t>(c.int_contents(), job, input);
    case CARNOT_I32:
      in_place(c.int_contents(), input);
      break;
    case CARNOT_I64:
      in_place(c.int64_contents(), input);
      break;
    case CARNOT_U8:
      return narrow<uint8_t>(c.uint_contents(), job, input);
    case CARNOT_U16:
      return narrow<uint16_t>(c.uint_contents(), job, input);
    case CARNOT_U32:
      in_place(c.uint_contents(), input);
      break;
    case CARNOT_U64:
      in_place(c.uint64_contents(), input);
      break;
    case CARNOT_F32:
      in_place(c.fp32_contents(), input);
      break;
    case CARNOT_F64:
      in_place(c.fp64_contents(), input);
      break;
    case CARNOT_F16:
    case CARNOT_BF16:
      return invalid("{} data of input '{}' must come in raw_input_contents", input->type->name, input->name);
    default:
      break;  // BYTES: no model takes them, which is said where types are compared
  }
  return std::nullopt;
}

MaybeFault read_input(const Core& core, const Input& in, int* raw_at, MessageJob& job) {
  const auto& message = *job.message;
  InputTensor input{
      .name = in.name(), .type = datatype_named(in.datatype()), .shape = {in.shape().begin(), in.shape().end()}};
  if (!input.type) return invalid("invalid datatype for input {}", in.name());
  for (int64_t d : input.shape)
    if (d < 0) return invalid("shape {} of input '{}' has a negative dim", shape_text(input.shape), in.name());
  auto region = region_of(core, in.parameters());
  if (!region) return region.fault();
  if (*region) {
    if (in.has_contents())
      return invalid("unexpected 'content' provided when using shared memory for input tensor '{}' for model '{}'",
                     in.name(), message.model_name());
    input.data = (*region)->part.data;
    input.bytes = (*region)->bytes;
    job.request.shared_memory = true;
    job.regions.push_back((*region)->part.owner);
  } else if (message.raw_input_contents_size() > 0) {
    if (in.has_contents())
      return invalid("contents field must not be specified when using raw_input_contents for '{}' for model '{}'",
                     in.name(), message.model_name());
    if (*raw_at >= message.raw_input_contents_size())
      return invalid("unable to find data for input tensor '{}' for model '{}' in request.", in.name(),
                     message.model_name());
    const std::string& bytes = message.raw_input_contents((*raw_at)++);
    input.data = reinterpret_cast<const std::byte*>(bytes.data());
    input.bytes = bytes.size();
  } else if (in.has_contents()) {
    if (auto refused = read_contents(in.contents(), job, &input)) return refused;
  } else if (element_count(input.shape) != 0u) {
    return invalid("unable to find data for input tensor '{}' for model '{}' in request.", in.name(),
                   message.model_name());
  }
  job.request.inputs.push_back(std::move(input));
  return std::nullopt;
}

MaybeFault read_output(const Core& core, const inference::ModelInferRequest::InferRequestedOutputTensor& in,
                       MessageJob& job) {
  OutputRequest out{.name = in.name()};
  auto k = number(in.parameters(), "classification");
  if (!k) return k.fault();
  out.classification = static_cast<uint32_t>(std::min<uint64_t>(k->value_or(0), 0xFFFFFFFF));
  auto region = region_of(core, in.parameters());
  if (!region) return region.fault();
  if (*region) {
    if (out.classification) return invalid("shared memory can't be used with classification: output '{}'", in.name());
    out.target = (*region)->part.data;
    out.target_bytes = (*region)->bytes;
    out.region = (*region)->name;
    out.region_offset = (*region)->offset;
    job.request.shared_memory = true;
    job.regions.push_back((*region)->part.owner);
  }
  job.request.outputs.push_back(std::move(out));
  return std::nullopt;
}

MaybeFault read_sequence(const Parameters& parameters, SequencePlace& place) {
  if (const auto it = parameters.find("sequence_id"); it != parameters.end()) {
    if (it->second.has_string_param()) {
      place.id = it->second.string_param();
      if (place.id.size() > kMaxSequenceId)
        return invalid("'sequence_id' has more than {} bytes", kMaxSequenceId);
    } else {
      auto id = number(parameters, "sequence_id");
      if (!id) return id.fault();
      place.number = **id;
      if (place.number) place.id = std::to_string(place.number);
    }
  }
  for (const auto& [name, flag] : {std::pair{"sequence_start", &place.start}, {"sequence_end", &place.end}}) {
    const auto it = parameters.find(name);
    if (it == parameters.end()) continue;
    if (!it->second.has_bool_param())
      return invalid("invalid value type for '{}' parameter, expected bool_param", name);
    *flag = it->second.bool_param();
  }
  return std::nullopt;
}

}  // namespace

MaybeFault read_message(const Core& core, MessageJob& job) {
  const auto& message = *job.message;
  InferRequest& request = job.request;
  request.model = message.model_name();
  request.id = message.id();
  auto version = parse_version(request.model, message.model_version());
  if (!version) return version.fault();
  request.version = *version;
  // Unknown models first: what else the message says is then of no interest.
  if (auto found = core.repository.find(request.model, request.version); !found) return found.fault();
  if (message.inputs_size() > kMaxTensors || message.outputs_size() > kMaxTensors)
    return invalid("a request may have {} inputs and outputs at most", kMaxTensors);
  auto priority = number(message.parameters(), "priority");
  if (!priority) return priority.fault();
  request.priority = priority->value_or(0);
  auto timeout = number(message.parameters(), "timeout");
  if (!timeout) return timeout.fault();
  request.timeout_us = timeout->value_or(0);
  for (const auto& [name, value] : message.parameters()) {
    if (name.starts_with("triton_") && name != "triton_enable_empty_final_response")
      return invalid(
          "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting with "
          "'triton_' are allowed: triton_enable_empty_final_response");
    if (value.parameter_choice_case() == inference::InferParameter::PARAMETER_CHOICE_NOT_SET)
      return invalid("invalid value type for '{}' parameter, expected int64_param, bool_param, or string_param.", name);
  }
  if (auto refused = read_sequence(message.parameters(), request.sequence)) return refused;
  int raw_at = 0;
  for (const auto& input : message.inputs())
    if (auto refused = read_input(core, input, &raw_at, job)) return refused;
  if (raw_at != message.raw_input_contents_size())
    return invalid("expected {} raw_input_contents for model '{}', got {}", raw_at, request.model,
                   message.raw_input_contents_size());
  for (const auto& output : message.outputs())
    if (auto refused = read_output(core, output, job)) return refused;
  return std::nullopt;
}

void write_message(const Job& job, const InferReply& reply, inference::ModelInferResponse* out) {
  out->set_model_name(*reply.model);
  out->set_model_version(std::to_string(reply.version));
  out->set_id(job.request.id);
  for (const OutputTensor& tensor : reply.outputs) {
    auto* o = out->add_outputs();
    o->set_name(*tensor.name);
    o->set_datatype(tensor.type->name.data(), tensor.type->name.size());
    o->mutable_shape()->Add(tensor.shape.begin(), tensor.shape.end());
    if (tensor.request && tensor.request->target) {
      auto& p = *o->mutable_parameters();
      p["shared_memory_region"].set_string_param(tensor.request->region);
      p["shared_memory_byte_size"].set_int64_param(static_cast<int64_t>(tensor.bytes));
      if (tensor.request->region_offset)
        p["shared_memory_offset"].set_int64_param(static_cast<int64_t>(tensor.request->region_offset));
      out->add_raw_output_contents();  // one entry for each output keeps the positions of the others
    } else {
      out->add_raw_output_contents(tensor.data, tensor.bytes);
    }
  }
}

}  // namespace carnot::serve
