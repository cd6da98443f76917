// SPDX-License-Identifier: Apache-2.0
#include "http/infer.hpp"

#include <rapidjson/document.h>
#include <rapidjson/error/en.h>

#include <charconv>
#include <cstring>
#include <deque>

#include "core/proto_json.hpp"
#include "http/encoding.hpp"
#include "http/json_tensor.hpp"

namespace carnot::serve {
namespace {

using rapidjson::Value;

constexpr size_t kMaxTensors = 1024;  // of a request, each way

void append_number(int64_t value, std::string* out) {
  char text[24];
  out->append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

class HttpJob : public Job {
 public:
  explicit HttpJob(Core& core) : core_(core) {}
  Buffer body;                                   // of the request: binary tensors are used where they lie
  std::deque<std::vector<std::byte>> converted;  // tensors that came as JSON
  std::vector<std::shared_ptr<const void>> regions;
  std::shared_ptr<Responder> responder;
  Encoding encoding = Encoding::kIdentity;
  bool all_binary = false;  // for outputs that say nothing of their own

  bool cancelled() const override { return responder->gone(); }
  void done(const InferReply& reply) override {
    core_.observer.end(*this, reply, "http");
    HttpReply http;
    try {
      http = reply.fault ? error_reply(*reply.fault) : answer(reply);
    } catch (const std::bad_alloc&) {
      http = error_reply({Kind::kUnavailable, "no memory for the answer"});
    }
    if (trace) http.headers += fmt::format("traceparent: {}\r\n", trace->traceparent());
    responder->send(std::move(http));
  }

 private:
  Core& core_;

  bool binary(const OutputTensor& out) const { return out.request ? out.request->binary : all_binary; }

  HttpReply answer(const InferReply& reply) const {
    std::string text;
    text.reserve(256);
    text += '{';
    if (!request.id.empty()) {
      text += "\"id\":";
      append_json_string(request.id, &text);
      text += ',';
    }
    text += "\"model_name\":";
    append_json_string(*reply.model, &text);
    text += ",\"model_version\":\"";
    append_number(reply.version, &text);
    text += "\",\"outputs\":[";
    size_t tail = 0;
    bool any_binary = false;
    for (const OutputTensor& out : reply.outputs) {
      if (&out != &reply.outputs.front()) text += ',';
      text += "{\"name\":";
      append_json_string(*out.name, &text);
      text += ",\"datatype\":\"";
      text += out.type->name;
      text += "\",\"shape\":[";
      for (size_t d = 0; d < out.shape.size(); ++d) {
        if (d) text += ',';
        append_number(out.shape[d], &text);
      }
      text += ']';
      if (out.request && out.request->target) {
        text += ",\"parameters\":{\"shared_memory_region\":";
        append_json_string(out.request->region, &text);
        text += ",\"shared_memory_byte_size\":";
        append_number(static_cast<int64_t>(out.bytes), &text);
        if (out.request->region_offset) {
          text += ",\"shared_memory_offset\":";
          append_number(static_cast<int64_t>(out.request->region_offset), &text);
        }
        text += '}';
      } else if (binary(out)) {
        any_binary = true;
        text += ",\"parameters\":{\"binary_data_size\":";
        append_number(static_cast<int64_t>(out.bytes), &text);
        text += '}';
        tail += out.bytes;
      } else if (out.type->dtype == CARNOT_F16 || out.type->dtype == CARNOT_BF16) {
        return error_reply(
            invalid("sending {} data via JSON is not supported. Please use the binary data format for output '{}'",
                    out.type->name, *out.name));
      } else {
        text += ",\"data\":";
        append_tensor_json(*out.type, out.data, out.bytes, &text);
      }
      text += '}';
    }
    text += "]}";
    HttpReply http;
    http.body = Buffer(text.size() + tail);
    std::memcpy(http.body.data(), text.data(), text.size());
    size_t at = text.size();
    for (const OutputTensor& out : reply.outputs)
      if (!(out.request && out.request->target) && binary(out) && out.bytes) {
        std::memcpy(http.body.data() + at, out.data, out.bytes);
        at += out.bytes;
      }
    if (any_binary) {
      http.content_type = "application/octet-stream";
      http.headers = fmt::format("Inference-Header-Content-Length: {}\r\n", text.size());
    }
    if (encoding != Encoding::kIdentity) {
      http.body = encode(http.body, encoding);
      http.headers += fmt::format("Content-Encoding: {}\r\n", encoding_name(encoding));
    }
    return http;
  }
};

// ---- the request
// ---------------------------------------------------------------------------------------------------------------

const Value* member(const Value& object, const char* name) {
  const auto it = object.FindMember(name);
  return it == object.MemberEnd() ? nullptr : &it->value;
}

Or<std::string> text_member(const Value& object, const char* name) {
  const Value* v = member(object, name);
  if (!v) return invalid("Unable to parse '{}': attempt to access non-existing object member '{}'", name, name);
  if (!v->IsString()) return invalid("Unable to parse '{}': attempt to access JSON non-string as string", name);
  return std::string(v->GetString(), v->GetStringLength());
}

// An unsigned integer among parameters; nothing if it is not there.
Or<std::optional<uint64_t>> size_parameter(const Value* parameters, const char* name) {
  const Value* v = parameters ? member(*parameters, name) : nullptr;
  if (!v) return std::optional<uint64_t>();
  if (!v->IsUint64())
    return invalid("Unable to parse '{}': attempt to access JSON non-unsigned-integer as unsigned-integer", name);
  return std::optional<uint64_t>(v->GetUint64());
}

Or<bool> bool_parameter(const Value* parameters, const char* name, bool otherwise) {
  const Value* v = parameters ? member(*parameters, name) : nullptr;
  if (!v) return otherwise;
  if (!v->IsBool()) return invalid("Unable to parse '{}': attempt to access JSON non-boolean as boolean", name);
  return v->GetBool();
}

Or<const Value*> parameters_of(const Value& object) {
  const Value* p = member(object, "parameters");
  if (p && !p->IsObject()) return invalid("Unable to parse 'parameters': attempt to access JSON non-object as object");
  return p;
}

struct RegionUse {
  std::string region;
  uint64_t offset = 0, bytes = 0;
  SharedMemory::Part part;
};

Or<std::optional<RegionUse>> region_parameters(const Core& core, const Value* parameters) {
  if (!parameters || !member(*parameters, "shared_memory_region")) {
    if (parameters && member(*parameters, "shared_memory_byte_size"))
      return invalid("'shared_memory_byte_size' needs 'shared_memory_region'");
    return std::optional<RegionUse>();
  }
  RegionUse use;
  auto region = text_member(*parameters, "shared_memory_region");
  if (!region) return region.fault();
  auto bytes = size_parameter(parameters, "shared_memory_byte_size");
  if (!bytes) return bytes.fault();
  if (!*bytes) return invalid("'shared_memory_region' needs 'shared_memory_byte_size'");
  auto offset = size_parameter(parameters, "shared_memory_offset");
  if (!offset) return offset.fault();
  use.region = *region;
  use.bytes = **bytes;
  use.offset = offset->value_or(0);
  auto part = core.shared_memory.find(use.region, use.offset, use.bytes);
  if (!part) return part.fault();
  use.part = *part;
  return std::optional<RegionUse>(std::move(use));
}

Or<std::vector<int64_t>> shape_of(const Value& object, const std::string& name) {
  const Value* v = member(object, "shape");
  if (!v) return invalid("Unable to parse 'shape': attempt to access non-existing object member 'shape'");
  if (!v->IsArray()) return invalid("Unable to parse 'shape': attempt to access JSON non-array as array");
  if (v->Size() > 64) return invalid("input '{}' has {} dims, 64 at most are possible", name, v->Size());
  std::vector<int64_t> shape;
  for (const Value& dim : v->GetArray()) {
    if (!dim.IsInt64() || dim.GetInt64() < 0)
      return invalid("Unable to parse 'shape': attempt to access JSON non-unsigned-integer as unsigned-integer");
    shape.push_back(dim.GetInt64());
  }
  return shape;
}

Fault one_source(bool data, bool binary, bool region) {
  const std::string set = fmt::format("{}{}{}", data ? " 'data'" : "", binary ? " 'binary_data_size'" : "",
                                      region ? " 'shared_memory_region'" : "");
  return invalid(
      "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
      "'shared_memory_region' in 'parameters'. But {}{}",
      set.empty() ? "no field is set" : "set", set);
}

MaybeFault read_input(const Core& core, const Value& v, HttpJob& job, size_t* binary_at) {
  if (!v.IsObject()) return invalid("Unable to parse 'inputs': an element is no object");
  auto name = text_member(v, "name");
  if (!name) return name.fault();
  auto datatype = text_member(v, "datatype");
  if (!datatype) return datatype.fault();
  auto shape = shape_of(v, *name);
  if (!shape) return shape.fault();
  auto parameters = parameters_of(v);
  if (!parameters) return parameters.fault();
  InputTensor input{.name = *name, .type = datatype_named(*datatype), .shape = *shape};
  if (!input.type) return invalid("invalid datatype for input {}", *name);
  auto region = region_parameters(core, *parameters);
  if (!region) return region.fault();
  auto binary = size_parameter(*parameters, "binary_data_size");
  if (!binary) return binary.fault();
  const Value* data = member(v, "data");
  if ((data != nullptr) + binary->has_value() + region->has_value() > 1)
    return one_source(data, binary->has_value(), region->has_value());
  if (*region) {
    input.data = (*region)->part.data;
    input.bytes = (*region)->bytes;
    job.request.shared_memory = true;
    job.regions.push_back((*region)->part.owner);
  } else if (*binary) {
    const size_t size = **binary;
    if (size > job.body.size() - *binary_at)
      return invalid("unexpected size for input '{}', expecting {} additional bytes for model '{}'", *name,
                     size - (job.body.size() - *binary_at), job.request.model);
    input.data = reinterpret_cast<const std::byte*>(job.body.data() + *binary_at);
    input.bytes = size;
    *binary_at += size;
  } else {
    if (!data) return one_source(false, false, false);
    if (input.type->dtype == CARNOT_F16 || input.type->dtype == CARNOT_BF16)
      return invalid("receiving {} data via JSON is not supported. Please use the binary data format for input {}",
                     input.type->name, *name);
    auto& bytes = job.converted.emplace_back();
    if (auto refused = tensor_from_json(*data, *input.type, input.shape, &bytes))
      return invalid("{} of input '{}'", refused->text, *name);
    input.data = bytes.data();
    input.bytes = bytes.size();
  }
  job.request.inputs.push_back(std::move(input));
  return std::nullopt;
}

MaybeFault read_output(const Core& core, const Value& v, HttpJob& job) {
  if (!v.IsObject()) return invalid("Unable to parse 'outputs': an element is no object");
  auto name = text_member(v, "name");
  if (!name) return name.fault();
  auto parameters = parameters_of(v);
  if (!parameters) return parameters.fault();
  OutputRequest out{.name = *name};
  auto binary = bool_parameter(*parameters, "binary_data", job.all_binary);
  if (!binary) return binary.fault();
  out.binary = *binary;
  auto k = size_parameter(*parameters, "classification");
  if (!k) return k.fault();
  if (k->value_or(0) > 0xFFFFFFFF) return invalid("'classification' of output '{}' is too large", *name);
  out.classification = static_cast<uint32_t>(k->value_or(0));
  auto region = region_parameters(core, *parameters);
  if (!region) return region.fault();
  if (*region) {
    if (out.classification) return invalid("shared memory can't be used with classification: output '{}'", *name);
    out.target = (*region)->part.data;
    out.target_bytes = (*region)->bytes;
    out.region = (*region)->region;
    out.region_offset = (*region)->offset;
    job.request.shared_memory = true;
    job.regions.push_back((*region)->part.owner);
  }
  job.request.outputs.push_back(std::move(out));
  return std::nullopt;
}

MaybeFault read_sequence(const Value* parameters, SequencePlace& place) {
  if (const Value* id = member(*parameters, "sequence_id")) {
    if (id->IsUint64()) {
      place.number = id->GetUint64();
      if (place.number) place.id = std::to_string(place.number);
    } else if (id->IsString() && id->GetStringLength() <= kMaxSequenceId) {
      place.id.assign(id->GetString(), id->GetStringLength());
    } else {
      return invalid("Unable to parse 'sequence_id': it must be an unsigned integer or a string of {} bytes at most",
                     kMaxSequenceId);
    }
  }
  auto start = bool_parameter(parameters, "sequence_start", false);
  if (!start) return start.fault();
  place.start = *start;
  auto end = bool_parameter(parameters, "sequence_end", false);
  if (!end) return end.fault();
  place.end = *end;
  return std::nullopt;
}

MaybeFault read_parameters(const Value& root, HttpJob& job) {
  auto parameters = parameters_of(root);
  if (!parameters) return parameters.fault();
  if (!*parameters) return std::nullopt;
  for (const auto& [name, value] : (*parameters)->GetObject()) {
    if (std::string_view(name.GetString(), name.GetStringLength()).starts_with("triton_"))
      return invalid(
          "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified.");
    if (!value.IsString() && !value.IsNumber() && !value.IsBool())
      return invalid("parameter '{}' has invalid type. It should be either 'int', 'bool', or 'string'.",
                     name.GetString());
  }
  auto binary = bool_parameter(*parameters, "binary_data_output", false);
  if (!binary) return binary.fault();
  job.all_binary = *binary;
  auto priority = size_parameter(*parameters, "priority");
  if (!priority) return priority.fault();
  job.request.priority = priority->value_or(0);
  auto timeout = size_parameter(*parameters, "timeout");
  if (!timeout) return timeout.fault();
  job.request.timeout_us = timeout->value_or(0);
  return read_sequence(*parameters, job.request.sequence);
}

// `json_size` bytes of JSON, then tensors.
MaybeFault read_request(const Core& core, size_t json_size, HttpJob& job) {
  char pool[16 << 10];
  rapidjson::MemoryPoolAllocator<> allocator(pool, sizeof pool);
  char stack[4 << 10];
  rapidjson::MemoryPoolAllocator<> stack_allocator(stack, sizeof stack);
  rapidjson::GenericDocument<rapidjson::UTF8<>, rapidjson::MemoryPoolAllocator<>, rapidjson::MemoryPoolAllocator<>>
      root(&allocator, sizeof(stack) / 2, &stack_allocator);
  // Iterative: the depth of a stranger's text must not become the depth of our stack.
  root.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseFullPrecisionFlag | rapidjson::kParseNanAndInfFlag>(
      job.body.data(), json_size);
  if (root.HasParseError())
    return invalid("failed to parse the request JSON buffer: {} at {}",
                   rapidjson::GetParseError_En(root.GetParseError()), root.GetErrorOffset());
  if (!root.IsObject()) return invalid("failed to parse the request JSON buffer: it must be an object");
  if (const Value* id = member(root, "id")) {
    if (!id->IsString()) return invalid("Unable to parse 'id': attempt to access JSON non-string as string");
    job.request.id.assign(id->GetString(), id->GetStringLength());
  }
  if (auto refused = read_parameters(root, job)) return refused;
  const Value* inputs = member(root, "inputs");
  if (!inputs) return invalid("Unable to parse 'inputs': attempt to access non-existing object member 'inputs'");
  if (!inputs->IsArray()) return invalid("Unable to parse 'inputs': attempt to access JSON non-array as array");
  if (inputs->Size() > kMaxTensors)
    return invalid("a request may have {} inputs at most, this one has {}", kMaxTensors, inputs->Size());
  size_t binary_at = json_size;
  for (const Value& input : inputs->GetArray())
    if (auto refused = read_input(core, input, job, &binary_at)) return refused;
  if (binary_at != job.body.size())
    return invalid("unexpected additional input data for model '{}': {} bytes behind the last tensor",
                   job.request.model, job.body.size() - binary_at);
  if (const Value* outputs = member(root, "outputs")) {
    if (!outputs->IsArray()) return invalid("Unable to parse 'outputs': attempt to access JSON non-array as array");
    if (outputs->Size() > kMaxTensors)
      return invalid("a request may ask for {} outputs at most, this one for {}", kMaxTensors, outputs->Size());
    for (const Value& output : outputs->GetArray())
      if (auto refused = read_output(core, output, job)) return refused;
  }
  return std::nullopt;
}

// Inference-Header-Content-Length: 0. The body is the one input; its open dim, if there is one, follows from the size.
MaybeFault read_raw(const Core& core, HttpJob& job) {
  auto model = core.repository.find(job.request.model, job.request.version);
  if (!model) return model.fault();
  const auto& inputs = (*model)->signature->inputs();
  if (inputs.size() != 1)
    return invalid(
        "{}Raw request must only have 1 input (found 1) to be deduced but got {} inputs in '{}' model configuration",
        id_prefix(job.request.id), inputs.size(), job.request.model);
  const IoSpec& spec = inputs[0];
  InputTensor input{.name = spec.name,
                    .type = spec.type,
                    .shape = spec.dims,
                    .data = reinterpret_cast<const std::byte*>(job.body.data()),
                    .bytes = job.body.size()};
  uint64_t known = spec.type->size;
  size_t open = 0;
  for (int64_t d : spec.dims)
    if (d < 0)
      ++open;
    else if (__builtin_mul_overflow(known, static_cast<uint64_t>(d), &known))
      return invalid("input '{}' has no possible size", spec.name);
  if (open > 1)
    return invalid(
        "{}The shape of the raw input '{}' can not be deduced because there are more than one variable-sized dimension",
        id_prefix(job.request.id), spec.name);
  for (int64_t& d : input.shape)
    if (d < 0) d = known ? static_cast<int64_t>(input.bytes / known) : 0;
  if ((*model)->signature->max_batch() > 0) input.shape.insert(input.shape.begin(), 1);
  job.request.inputs.push_back(std::move(input));
  job.all_binary = true;
  return std::nullopt;
}

MaybeFault read(Core& core, HttpRequest& http, HttpJob& job) {
  size_t json_size = http.body.size();
  bool raw = false;
  if (http.has_inference_length) {
    const std::string& text = http.inference_length;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), json_size);
    if (error != std::errc() || end != text.data() + text.size())
      return invalid("Unable to parse Inference-Header-Content-Length, got: {}", text);
    raw = json_size == 0;
  }
  if (!http.content_encoding.empty() && http.content_encoding != "identity") {
    auto plain =
        decode(http.body, http.content_encoding, core.options.max_body, http.has_inference_length ? json_size : 0);
    if (!plain) return plain.fault();
    http.body = std::move(*plain);
    if (!http.has_inference_length) json_size = http.body.size();
  }
  if (json_size > http.body.size())
    return invalid("inference header size should be in range (0, {}), got: {}", http.body.size(), json_size);
  job.body = std::move(http.body);
  job.encoding = accepted_encoding(http.accept_encoding);
  return raw ? read_raw(core, job) : read_request(core, json_size, job);
}

}  // namespace

HttpReply error_reply(const Fault& fault) {
  std::string text = "{\"error\":";
  append_json_string(fault.text, &text);
  text += '}';
  return {.status = http_status(fault.kind),
          .headers = fault.kind == Kind::kUnauthenticated ? "WWW-Authenticate: Bearer\r\n" : "",
          .body = Buffer::of(text)};
}

void infer_over_http(Core& core, const std::string& model, int64_t version, HttpRequest request,
                     std::shared_ptr<Responder> responder) {
  auto job = std::make_unique<HttpJob>(core);
  job->request.model = model;
  job->request.version = version;
  job->responder = std::move(responder);
  core.observer.begin(*job, request.traceparent, request.tracestate);
  // Unknown models first: what the body says is then of no interest.
  if (auto found = core.repository.find(model, version); !found) return job->done({.fault = &found.fault()});
  if (auto refused = read(core, request, *job)) return job->done({.fault = &*refused});
  core.infer(std::move(job), true);
}

}  // namespace carnot::serve
