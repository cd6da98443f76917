// SPDX-License-Identifier: Apache-2.0
#include "http/routes.hpp"

#include <rapidjson/document.h>
#include <rapidjson/error/en.h>

#include "core/log.hpp"
#include "core/metrics.hpp"
#include "core/proto_json.hpp"
#include "http/base64.hpp"
#include "http/encoding.hpp"
#include "http/generate.hpp"
#include "http/infer.hpp"
#include "web/page.hpp"

namespace carnot::serve {
namespace {

using Path = std::vector<std::string>;

// The segments of the path, percent-decoded, without the query. Nothing if an escape is broken.
std::optional<Path> split(std::string_view target) {
  target = target.substr(0, target.find_first_of("?#"));
  Path path;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  size_t at = 0;
  while (at < target.size()) {
    if (target[at] != '/') return std::nullopt;
    const size_t end = std::min(target.find('/', at + 1), target.size());
    std::string segment;
    for (size_t i = at + 1; i < end; ++i) {
      if (target[i] != '%') {
        segment += target[i];
        continue;
      }
      if (i + 2 >= end || digit(target[i + 1]) < 0 || digit(target[i + 2]) < 0) return std::nullopt;
      segment += static_cast<char>(digit(target[i + 1]) * 16 + digit(target[i + 2]));
      i += 2;
    }
    path.push_back(std::move(segment));
    at = end;
  }
  if (!path.empty() && path.back().empty()) path.pop_back();  // "/v2/" is "/v2"
  return path;
}

HttpReply json(std::string text) { return {.body = Buffer::of(text)}; }
HttpReply nothing() { return {}; }
HttpReply not_found() { return {.status = 404, .body = Buffer::of("{\"error\":\"Not Found\"}")}; }
HttpReply wrong_method(std::string_view allowed) {
  return {.status = 405,
          .headers = fmt::format("Allow: {}\r\n", allowed),
          .body = Buffer::of("{\"error\":\"Method Not Allowed\"}")};
}

template <typename Message>
HttpReply message_reply(Or<Message> message) {
  return message ? json(to_json(*message)) : error_reply(message.fault());
}
HttpReply done_or(const MaybeFault& refused) { return refused ? error_reply(*refused) : nothing(); }

// The body as a JSON object; an empty body is an empty one.
Or<std::shared_ptr<rapidjson::Document>> body_object(const HttpRequest& request) {
  auto document = std::make_shared<rapidjson::Document>();
  if (request.body.size() == 0) {
    document->SetObject();
    return document;
  }
  document->Parse<rapidjson::kParseIterativeFlag>(request.body.data(), request.body.size());
  if (document->HasParseError())
    return invalid("failed to parse the request JSON buffer: {} at {}",
                   rapidjson::GetParseError_En(document->GetParseError()), document->GetErrorOffset());
  if (!document->IsObject()) return invalid("failed to parse the request JSON buffer: it must be an object");
  return document;
}

// ---- repository
// ----------------------------------------------------------------------------------------------------------------

HttpReply repository_index(const Core& core, const HttpRequest& request) {
  auto body = body_object(request);
  if (!body) return error_reply(body.fault());
  bool ready = false;
  if (const auto it = (*body)->FindMember("ready"); it != (*body)->MemberEnd()) {
    if (!it->value.IsBool())
      return error_reply(invalid("Unable to parse 'ready': attempt to access JSON non-boolean as boolean"));
    ready = it->value.GetBool();
  }
  std::string text = "[";
  for (const IndexEntry& entry : core.repository.index(ready)) {
    text += text.size() > 1 ? ",{\"name\":" : "{\"name\":";
    append_json_string(entry.name, &text);
    for (const auto& [key, value] :
         {std::pair{",\"version\":", &entry.version}, {",\"state\":", &entry.state}, {",\"reason\":", &entry.reason}})
      if (!value->empty()) {
        text += key;
        append_json_string(*value, &text);
      }
    text += '}';
  }
  return json(text + "]");
}

Or<LoadOverride> load_override(const HttpRequest& request) {
  auto body = body_object(request);
  if (!body) return body.fault();
  LoadOverride out;
  const auto parameters = (*body)->FindMember("parameters");
  if (parameters == (*body)->MemberEnd()) return out;
  if (!parameters->value.IsObject())
    return invalid("Unable to parse 'parameters': attempt to access JSON non-object as object");
  for (const auto& [key, value] : parameters->value.GetObject()) {
    const std::string name(key.GetString(), key.GetStringLength());
    if (!value.IsString()) return invalid("parameter '{}' must be a string", name);
    const std::string_view text(value.GetString(), value.GetStringLength());
    if (name == "config") {
      out.config = text;
    } else if (name.starts_with("file:")) {
      auto bytes = from_base64(text);
      if (!bytes) return invalid("parameter '{}' is no base64 text", name);
      out.files[name.substr(5)] = std::move(*bytes);
    } else {
      return invalid("unknown load parameter '{}': there are 'config' and 'file:VERSION/FILE'", name);
    }
  }
  return out;
}

void repository_control(Core& core, Lane& lane, const std::string& model, bool load, HttpRequest request,
                        std::shared_ptr<Responder> responder) {
  if (!core.repository.may_control())
    return responder->send(error_reply(
        fault(Kind::kUnavailable,
              "explicit model load / unload is not allowed: start the server with --model-control explicit")));
  if (!load) {
    auto body = body_object(request);
    if (!body) return responder->send(error_reply(body.fault()));
    bool dependents = false;
    if (const auto p = (*body)->FindMember("parameters"); p != (*body)->MemberEnd() && p->value.IsObject())
      if (const auto d = p->value.FindMember("unload_dependents"); d != p->value.MemberEnd()) {
        if (!d->value.IsBool())
          return responder->send(error_reply(invalid("parameter 'unload_dependents' must be true or false")));
        dependents = d->value.GetBool();
      }
    lane.post([&core, model, responder, dependents] {
      core.repository.unload(model, dependents);
      responder->send(nothing());
    });
    return;
  }
  auto override = load_override(request);
  if (!override) return responder->send(error_reply(override.fault()));
  lane.post([&core, model, responder, what = std::move(*override)] {
    responder->send(done_or(core.repository.load(model, what)));
  });
}

// ---- shared memory
// -------------------------------------------------------------------------------------------------------------

HttpReply shared_memory_status(const Core& core, const std::string& name) {
  auto regions = core.shared_memory.status(name);
  if (!regions) return error_reply(regions.fault());
  std::string text = "[";
  for (const auto& region : *regions) {
    text += text.size() > 1 ? ",{\"name\":" : "{\"name\":";
    append_json_string(region.name, &text);
    text += ",\"key\":";
    append_json_string(region.key, &text);
    text += fmt::format(",\"offset\":{},\"byte_size\":{}}}", region.offset, region.bytes);
  }
  return json(text + "]");
}

HttpReply shared_memory_register(Core& core, const std::string& name, const HttpRequest& request) {
  auto body = body_object(request);
  if (!body) return error_reply(body.fault());
  SharedMemory::Region region{.name = name};
  const auto number = [&](const char* key, uint64_t* out) -> MaybeFault {
    const auto it = (*body)->FindMember(key);
    if (it == (*body)->MemberEnd()) return std::nullopt;
    if (!it->value.IsUint64())
      return invalid("Unable to parse '{}': attempt to access JSON non-unsigned-integer as unsigned-integer", key);
    *out = it->value.GetUint64();
    return std::nullopt;
  };
  const auto key = (*body)->FindMember("key");
  if (key == (*body)->MemberEnd() || !key->value.IsString())
    return error_reply(invalid("Shared memory register request has no 'key' field"));
  region.key.assign(key->value.GetString(), key->value.GetStringLength());
  if (!(*body)->HasMember("byte_size"))
    return error_reply(invalid("Shared memory register request has no 'byte_size' field"));
  if (auto refused = number("offset", &region.offset)) return error_reply(*refused);
  if (auto refused = number("byte_size", &region.bytes)) return error_reply(*refused);
  return done_or(core.shared_memory.add(region));
}

HttpReply no_cuda() {
  return error_reply(fault(Kind::kUnsupported, "this build has no CUDA shared memory: use system shared memory"));
}

// There are none, so none can be asked for.
HttpReply no_cuda_region(const std::string& name) {
  if (name.empty()) return json("[]");
  return error_reply(fault(Kind::kNotFound, "Unable to find cuda shared memory region: '{}'", name));
}

// systemsharedmemory[/region/{name}]/{status|register|unregister}
HttpReply shared_memory(Core& core, const Path& path, const HttpRequest& request) {
  const bool cuda = path[1] == "cudasharedmemory";
  const std::string name = path.size() == 5 && path[2] == "region" ? path[3] : "";
  if (path.size() != 3 && name.empty()) return not_found();
  const std::string& what = path.back();
  if (what == "status") {
    if (request.method != "GET") return wrong_method("GET");
    return cuda ? no_cuda_region(name) : shared_memory_status(core, name);
  }
  if (what != "unregister" && (what != "register" || name.empty())) return not_found();
  if (request.method != "POST") return wrong_method("POST");
  if (what == "unregister") return cuda ? nothing() : done_or(core.shared_memory.remove(name));
  return cuda ? no_cuda() : shared_memory_register(core, name, request);
}

// ---- settings
// ------------------------------------------------------------------------------------------------------------------

HttpReply log_reply() {
  std::string text = "{";
  const auto response = log_settings();
  for (const auto& [name, value] : response.settings()) {
    text += text.size() > 1 ? "," : "";
    append_json_string(name, &text);
    text += ':';
    if (value.has_bool_param())
      text += value.bool_param() ? "true" : "false";
    else if (value.has_uint32_param())
      text += std::to_string(value.uint32_param());
    else
      append_json_string(value.string_param(), &text);
  }
  return json(text + "}");
}

HttpReply logging(const HttpRequest& request) {
  if (request.method == "GET") return log_reply();
  if (request.method != "POST") return wrong_method("GET, POST");
  auto body = body_object(request);
  if (!body) return error_reply(body.fault());
  inference::LogSettingsRequest change;
  for (const auto& [key, value] : (*body)->GetObject()) {
    auto& setting = (*change.mutable_settings())[key.GetString()];
    if (value.IsBool())
      setting.set_bool_param(value.GetBool());
    else if (value.IsUint())
      setting.set_uint32_param(value.GetUint());
    else if (value.IsString())
      setting.set_string_param(value.GetString());
  }
  if (auto refused = change_log_settings(change)) return error_reply(*refused);
  return log_reply();
}

HttpReply tracing(Core& core, const std::string& model, const HttpRequest& request) {
  inference::TraceSettingRequest change;
  change.set_model_name(model);
  if (request.method == "POST") {
    auto body = body_object(request);
    if (!body) return error_reply(body.fault());
    for (const auto& [key, value] : (*body)->GetObject()) {
      auto& setting = (*change.mutable_settings())[key.GetString()];
      if (value.IsString()) setting.add_value(value.GetString());
      if (value.IsArray())
        for (const auto& item : value.GetArray())
          if (item.IsString()) setting.add_value(item.GetString());
    }
  } else if (request.method != "GET") {
    return wrong_method("GET, POST");
  }
  auto settings = core.observer.settings.change(change);
  if (!settings) return error_reply(settings.fault());
  std::string text = "{";
  for (const auto& [name, value] : settings->settings()) {
    text += text.size() > 1 ? "," : "";
    append_json_string(name, &text);
    text += name == "trace_level" ? ":[" : ":";
    append_json_string(value.value(0), &text);
    if (name == "trace_level") text += ']';
  }
  return json(text + "}");
}

// ---- models
// --------------------------------------------------------------------------------------------------------------------

HttpReply model_ready(const Core& core, const std::string& name, int64_t version) {
  if (!core.repository.find(name, version)) return error_reply(invalid("Model version not ready"));
  std::string text = "{\"name\":";
  append_json_string(name, &text);
  return json(text + ",\"ready\":true}");
}

HttpReply model_report(const Core& core, const std::string& name, int64_t version) {
  auto model = core.repository.find(name, version);
  return model ? json((*model)->signature->report()) : error_reply(model.fault());
}

HttpReply model_config(const Core& core, const std::string& name, int64_t version) {
  auto model = core.repository.find(name, version);
  return model ? json(to_json((*model)->config)) : error_reply(model.fault());
}

// models/{m}[/versions/{v}][/what]
void model_route(Core& core, const Path& path, HttpRequest request, std::shared_ptr<Responder> responder) {
  const std::string& name = path[2];
  size_t at = 3;
  int64_t version = -1;
  if (path.size() > 4 && path[3] == "versions") {
    // What is no number at all is no path of this server.
    if (path[4].find_first_not_of("0123456789") != std::string::npos) return responder->send(not_found());
    auto number = parse_version(name, path[4]);
    if (!number) return responder->send(error_reply(number.fault()));
    version = *number;
    at = 5;
  }
  const std::string what = path.size() > at ? path[at] : "";
  const bool last = path.size() <= at + 1, get = request.method == "GET";
  if (last && what == "infer") {
    if (request.method != "POST") return responder->send(wrong_method("POST"));
    return infer_over_http(core, name, version, std::move(request), std::move(responder));
  }
  if (last && (what == "generate" || what == "generate_stream")) {
    if (request.method != "POST") return responder->send(wrong_method("POST"));
    return generate_over_http(core, name, version, what == "generate_stream", std::move(request), std::move(responder));
  }
  if (path.size() == at + 2 && what == "trace" && path[at + 1] == "setting") {
    auto model = core.repository.find(name, -1);
    return responder->send(model ? tracing(core, name, request) : error_reply(model.fault()));
  }
  if (!last || (what != "" && what != "ready" && what != "config" && what != "stats" && what != "report"))
    return responder->send(not_found());
  if (!get) return responder->send(wrong_method("GET"));
  if (what == "ready") return responder->send(model_ready(core, name, version));
  if (what == "config") return responder->send(model_config(core, name, version));
  if (what == "report") return responder->send(model_report(core, name, version));
  if (what == "stats") return responder->send(message_reply(statistics(core, name, version)));
  responder->send(message_reply(model_metadata(core, name, version)));
}

HttpReply health(const Core& core, const std::string& what, const HttpRequest& request) {
  if (what != "live" && what != "ready") return not_found();
  if (request.method != "GET" && request.method != "HEAD") return wrong_method("GET");
  if (what == "live") return json("{\"live\":true}");
  const bool ready = core.ready();
  HttpReply reply = json(ready ? "{\"live\":true,\"ready\":true}" : "{\"live\":true,\"ready\":false}");
  // 400 is what Triton answers; probes take any status but 2xx and 3xx for "not ready".
  if (!ready) reply.status = core.leaving ? 503 : 400;
  return reply;
}

HttpReply metrics(const Core& core) {
  return {.content_type = "text/plain; charset=utf-8", .body = Buffer::of(metrics_text(core))};
}

// What a route is, of the path as it was understood.
Access access_of(const Path& path, const std::string& method) {
  const size_t n = path.size();
  if (n == 0) return Access::kNothing;
  if (n == 1 && path[0] == "metrics") return Access::kProbe;
  if (n < 2 || path[0] != "v2") return Access::kUse;
  if (path[1] == "health" || (path[1] == "models" && n > 3 && path.back() == "ready")) return Access::kProbe;
  if (path[1] == "repository" && path.back() != "index") return Access::kControl;
  const bool memory = path[1] == "systemsharedmemory" || path[1] == "cudasharedmemory";
  const bool setting = path[1] == "logging" || path.back() == "setting";
  return (memory || setting) && method != "GET" ? Access::kControl : Access::kUse;
}

}  // namespace

void handle_probe(Core& core, const HttpRequest& request, Responder& responder) {
  const auto path = split(request.target);
  if (!path) return responder.send(not_found());
  if (auto refused = core.auth.check(Access::kProbe, request.authorization))
    return responder.send(error_reply(*refused));
  if (path->size() == 1 && (*path)[0] == "metrics") return responder.send(metrics(core));
  if (path->size() == 3 && (*path)[0] == "v2" && (*path)[1] == "health")
    return responder.send(health(core, (*path)[2], request));
  responder.send(not_found());
}

void handle_http(Core& core, Lane& lane, HttpRequest request, std::shared_ptr<Responder> responder) {
  const auto parsed = split(request.target);
  if (!parsed) return responder->send(error_reply(invalid("the path has a broken percent escape")));
  const Path& path = *parsed;
  if (auto refused = core.auth.check(access_of(path, request.method), request.authorization))
    return responder->send(error_reply(*refused));
  const bool unpacks_itself = path.size() > 3 && path.back() == "infer";
  if (!request.content_encoding.empty() && request.content_encoding != "identity" && !unpacks_itself) {
    auto plain = decode(request.body, request.content_encoding, core.options.max_body, 0);
    if (!plain) return responder->send(error_reply(plain.fault()));
    request.body = std::move(*plain);
  }
  if (path.size() == 1 && path[0] == "metrics") return responder->send(metrics(core));
  if (path.empty() && core.options.web_page)
    return responder->send(request.method == "GET" || request.method == "HEAD" ? web_page() : wrong_method("GET"));
  if (path.empty() || path[0] != "v2") return responder->send(not_found());
  if (path.size() == 1)
    return responder->send(request.method == "GET" ? message_reply(Or(server_metadata())) : wrong_method("GET"));
  if (path[1] == "health" && path.size() == 3) return responder->send(health(core, path[2], request));
  if (path[1] == "models" && path.size() == 3 && path[2] == "stats")
    return responder->send(request.method == "GET" ? message_reply(statistics(core, "", -1)) : wrong_method("GET"));
  if (path[1] == "models" && path.size() >= 3) return model_route(core, path, std::move(request), std::move(responder));
  if (path[1] == "repository") {
    if (path.size() == 5 && path[2] == "models" && (path[4] == "load" || path[4] == "unload")) {
      if (request.method != "POST") return responder->send(wrong_method("POST"));
      return repository_control(core, lane, path[3], path[4] == "load", std::move(request), std::move(responder));
    }
    if (path.size() <= 4 && path.back() == "index")
      return responder->send(request.method == "POST" ? repository_index(core, request) : wrong_method("POST"));
    if (path.size() == 6)
      return responder->send(
          error_reply(fault(Kind::kUnsupported, "'repository_name' specification is not supported")));
  }
  if ((path[1] == "systemsharedmemory" || path[1] == "cudasharedmemory") && path.size() >= 3)
    return responder->send(shared_memory(core, path, request));
  if (path.size() == 3 && path[1] == "trace" && path[2] == "setting")
    return responder->send(tracing(core, "", request));
  if (path.size() == 2 && path[1] == "logging") return responder->send(logging(request));
  responder->send(not_found());
}

}  // namespace carnot::serve
