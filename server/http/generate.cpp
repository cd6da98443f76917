// SPDX-License-Identifier: Apache-2.0
#include "http/generate.hpp"

#include <rapidjson/error/en.h>

#include <algorithm>
#include <deque>

#include "core/proto_json.hpp"
#include "http/infer.hpp"
#include "http/json_tensor.hpp"

namespace carnot::serve {
namespace {

using rapidjson::Value;

class GenerateJob : public Job {
 public:
  GenerateJob(Core& core, std::shared_ptr<Responder> responder, bool stream)
      : core_(core), responder_(std::move(responder)), stream_(stream) {}
  std::deque<std::vector<std::byte>> tensors;

  bool cancelled() const override { return responder_->gone(); }
  void done(const InferReply& reply) override {
    core_.observer.end(*this, reply, "http");
    HttpReply http = reply.fault ? error_reply(*reply.fault) : answer(reply);
    if (trace) http.headers += fmt::format("traceparent: {}\r\n", trace->traceparent());
    responder_->send(std::move(http));
  }

 private:
  HttpReply answer(const InferReply& reply) const {
    std::string text = stream_ ? "data: {" : "{";
    if (!request.id.empty()) {
      text += "\"id\":";
      append_json_string(request.id, &text);
      text += ',';
    }
    text += "\"model_name\":";
    append_json_string(*reply.model, &text);
    text += fmt::format(",\"model_version\":\"{}\"", reply.version);
    for (const OutputTensor& out : reply.outputs) {
      if (out.type->dtype == CARNOT_F16 || out.type->dtype == CARNOT_BF16)
        return error_reply(
            invalid("output '{}' is {}, which JSON cannot carry: use /infer", *out.name, out.type->name));
      text += ',';
      append_json_string(*out.name, &text);
      text += ':';
      std::string values;
      append_tensor_json(*out.type, out.data, out.bytes, &values);
      // A single element stands by itself.
      text += out.bytes == out.type->size ? values.substr(1, values.size() - 2) : values;
    }
    text += stream_ ? "}\n\n" : "}";
    HttpReply http{.body = Buffer::of(text)};
    if (stream_) http.content_type = "text/event-stream; charset=utf-8";
    return http;
  }

  Core& core_;
  const std::shared_ptr<Responder> responder_;
  const bool stream_;
};

// Nothing if it is nested deeper than any tensor: a stranger's text must not fill our stack.
std::optional<uint64_t> elements(const Value& value, int depth = 0) {
  if (depth > 16) return std::nullopt;
  uint64_t count = 0;
  for (const Value& item : value.GetArray()) {
    const auto inside = item.IsArray() ? elements(item, depth + 1) : std::optional<uint64_t>(1);
    if (!inside) return std::nullopt;
    count += *inside;
  }
  return count;
}

// The model's shape if it has so many elements, one open dim filled in; else a list.
std::vector<int64_t> shape_for(const std::vector<int64_t>& dims, uint64_t count) {
  std::vector<int64_t> shape = dims;
  uint64_t known = 1;
  for (int64_t d : dims)
    if (d >= 0 && __builtin_mul_overflow(known, static_cast<uint64_t>(d), &known)) known = 0;
  const auto open = std::count(dims.begin(), dims.end(), -1);
  if (open == 1 && known > 0 && count % known == 0) {
    *std::find(shape.begin(), shape.end(), -1) = static_cast<int64_t>(count / known);
    return shape;
  }
  if (open == 0 && known == count) return shape;
  return {static_cast<int64_t>(count)};
}

MaybeFault read(const Signature& signature, const Buffer& body, GenerateJob& job) {
  rapidjson::Document root;
  root.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseFullPrecisionFlag | rapidjson::kParseNanAndInfFlag>(
      body.data(), body.size());
  if (root.HasParseError())
    return invalid("failed to parse the request JSON buffer: {} at {}",
                   rapidjson::GetParseError_En(root.GetParseError()), root.GetErrorOffset());
  if (!root.IsObject()) return invalid("failed to parse the request JSON buffer: it must be an object");
  for (const auto& [key, value] : root.GetObject()) {
    const std::string name(key.GetString(), key.GetStringLength());
    const auto spec = std::find_if(signature.inputs().begin(), signature.inputs().end(),
                                   [&](const IoSpec& s) { return s.name == name; });
    if (spec == signature.inputs().end()) {
      // What is no input is a parameter; parameters mean nothing to an engine.
      if (name == "id" && value.IsString()) job.request.id.assign(value.GetString(), value.GetStringLength());
      continue;
    }
    const Value* data = &value;
    Value list(rapidjson::kArrayType);
    if (!value.IsArray()) {
      list.PushBack(Value(value, root.GetAllocator()), root.GetAllocator());
      data = &list;
    }
    const auto count = elements(*data);
    if (!count) return invalid("input '{}' is nested too deeply", name);
    std::vector<int64_t> shape = shape_for(spec->dims, *count);
    if (signature.max_batch() > 0) shape.insert(shape.begin(), 1);
    auto& bytes = job.tensors.emplace_back();
    if (auto refused = tensor_from_json(*data, *spec->type, shape, &bytes))
      return invalid("{} of input '{}'", refused->text, name);
    job.request.inputs.push_back(
        {.name = name, .type = spec->type, .shape = std::move(shape), .data = bytes.data(), .bytes = bytes.size()});
  }
  return std::nullopt;
}

}  // namespace

void generate_over_http(Core& core, const std::string& model, int64_t version, bool stream, HttpRequest request,
                        std::shared_ptr<Responder> responder) {
  auto job = std::make_unique<GenerateJob>(core, std::move(responder), stream);
  job->request.model = model;
  job->request.version = version;
  core.observer.begin(*job, request.traceparent, request.tracestate);
  auto found = core.repository.find(model, version);
  if (!found) return job->done({.fault = &found.fault()});
  if (auto refused = read(*(*found)->signature, request.body, *job)) return job->done({.fault = &*refused});
  core.infer(std::move(job), true);
}

}  // namespace carnot::serve
