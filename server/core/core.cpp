// SPDX-License-Identifier: Apache-2.0
#include "core/core.hpp"

#include <algorithm>
#include <charconv>
#include <thread>

#include "core/log.hpp"

namespace carnot::serve {
namespace {

// The extensions that work here.
constexpr const char* kExtensions[] = {"classification",
                                       "model_repository",
                                       "model_repository(unload_dependents)",
                                       "schedule_policy",
                                       "sequence",
                                       "model_configuration",
                                       "system_shared_memory",
                                       "binary_tensor_data",
                                       "parameters",
                                       "statistics",
                                       "trace",
                                       "logging"};

int run_threads(int wanted) {
  return wanted > 0 ? wanted : std::max(2, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

Core::Core(const ServerOptions& o)
    : options(o),
      auth({.token_file = o.token_file, .admin_token_file = o.admin_token_file, .probes_too = o.token_for_probes}),
      observer(o.otlp_endpoint, o.trace_rate),
      shared_memory(o.client_shared_memory, o.shared_memory_prefix),
      executor(run_threads(o.run_threads)),
      repository(options, executor) {}

void Core::infer(std::unique_ptr<Job> job, bool here) {
  if (refusing) {
    const Fault why = fault(Kind::kUnavailable, "the server is shutting down: send the request to another one");
    job->done({.fault = &why});
    return;
  }
  ++in_flight;
  job->in_flight = &in_flight;
  repository.infer(std::move(job), here);
}

inference::ServerMetadataResponse server_metadata() {
  inference::ServerMetadataResponse out;
  out.set_name("triton");  // what clients look for before they use the extensions
  out.set_version(carnot_version());
  for (const char* name : kExtensions) out.add_extensions(name);
  return out;
}

Or<int64_t> parse_version(const std::string& name, const std::string& text) {
  if (text.empty()) return int64_t{-1};
  int64_t version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc() || end != text.data() + text.size() || version < 0)
    return invalid(
        "failed to get model version from specified version string '{}' for model '{}', version should be an integral "
        "value > 0",
        text, name);
  return version;
}

Or<inference::ModelMetadataResponse> model_metadata(const Core& core, const std::string& name, int64_t version) {
  auto model = core.repository.find(name, version);
  if (!model) return model.fault();
  const auto& config = (*model)->config;
  inference::ModelMetadataResponse out;
  out.set_name(name);
  if (version >= 0)
    out.add_versions(std::to_string(version));
  else
    for (int64_t v : core.repository.versions(name)) out.add_versions(std::to_string(v));
  out.set_platform(config.platform().empty() ? config.backend() : config.platform());
  const auto add = [&](const IoSpec& spec, inference::ModelMetadataResponse::TensorMetadata* to) {
    to->set_name(spec.name);
    to->set_datatype(std::string(spec.type->name));
    if (config.max_batch_size() > 0) to->add_shape(-1);
    for (int64_t d : spec.dims) to->add_shape(d);
  };
  for (const IoSpec& spec : (*model)->signature->inputs()) add(spec, out.add_inputs());
  for (const IoSpec& spec : (*model)->signature->outputs()) add(spec, out.add_outputs());
  return out;
}

Or<inference::ModelStatisticsResponse> statistics(const Core& core, const std::string& name, int64_t version) {
  inference::ModelStatisticsResponse out;
  if (!name.empty()) {
    auto model = core.repository.find(name, version);
    if (!model && !core.repository.versions(name).empty())
      return invalid("requested model version is not available for model '{}'", name);
    if (!model) return invalid("requested model '{}' is not available", name);
  }
  for (const auto& model : core.repository.loaded()) {
    if (!name.empty() && (model->name != name || (version >= 0 && model->version != version))) continue;
    auto* s = out.add_model_stats();
    model->statistics->fill(s);
    s->set_name(model->name);
    s->set_version(std::to_string(model->version));
  }
  return out;
}

inference::LogSettingsResponse log_settings() {
  const log::Settings& s = log::settings();
  inference::LogSettingsResponse out;
  auto& map = *out.mutable_settings();
  map["log_file"].set_string_param("");
  map["log_info"].set_bool_param(s.info);
  map["log_warning"].set_bool_param(s.warning);
  map["log_error"].set_bool_param(s.error);
  map["log_verbose_level"].set_uint32_param(static_cast<uint32_t>(s.verbose.load()));
  map["log_format"].set_string_param(s.iso8601 ? "ISO8601" : "default");
  return out;
}

MaybeFault change_log_settings(const inference::LogSettingsRequest& request) {
  // All checked before any is changed.
  for (const auto& [name, value] : request.settings()) {
    if (name == "log_file")
      return fault(Kind::kUnsupported, "log file location can not be updated through network protocol");
    if (name == "log_info" || name == "log_warning" || name == "log_error") {
      if (!value.has_bool_param()) return invalid("expect boolean for '{}'", name);
    } else if (name == "log_verbose_level") {
      if (!value.has_uint32_param() || value.uint32_param() > 100)
        return invalid("expect an unsigned integer, 100 at most, for '{}'", name);
    } else if (name == "log_format") {
      if (!value.has_string_param() || (value.string_param() != "default" && value.string_param() != "ISO8601"))
        return invalid("invalid argument for log_format: use 'default' or 'ISO8601'");
    } else {
      return invalid(
          "unknown log setting '{}': there are log_info, log_warning, log_error, log_verbose_level and log_format",
          name);
    }
  }
  log::Settings& s = log::settings();
  for (const auto& [name, value] : request.settings()) {
    if (name == "log_info") s.info = value.bool_param();
    if (name == "log_warning") s.warning = value.bool_param();
    if (name == "log_error") s.error = value.bool_param();
    if (name == "log_verbose_level") s.verbose = static_cast<int>(value.uint32_param());
    if (name == "log_format") s.iso8601 = value.string_param() == "ISO8601";
  }
  return std::nullopt;
}

}  // namespace carnot::serve
