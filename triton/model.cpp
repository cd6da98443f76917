// SPDX-License-Identifier: Apache-2.0
#include "model.hpp"

#include <filesystem>

#include "build.hpp"

namespace carnot::triton {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// Tried in this order when the configuration names no file.
constexpr const char* kFiles[] = {"model.engine", "model.carnot", "model.onnx"};
constexpr int64_t kDefaultMaxBatch =
    4;  // Triton's own, if its option --backend-config=default-max-batch-size is not given

MaybeFailure parse(TRITONSERVER_Message* message, json* out) {
  const char* text = nullptr;
  size_t bytes = 0;
  CARNOT_CALL(TRITONSERVER_MessageSerializeToJson(message, &text, &bytes));
  *out = json::parse(text, text + bytes, nullptr, false);
  if (out->is_object()) return std::nullopt;
  return failure(TRITONSERVER_ERROR_INTERNAL, "the server's configuration is no JSON object");
}

// What --backend-config=carnot,KEY=VALUE and the server's own options say.
MaybeFailure read_options(TRITONBACKEND_Model* handle, std::string* cache, std::string* device, int64_t* max_batch) {
  TRITONBACKEND_Backend* backend = nullptr;
  TRITONSERVER_Message* message = nullptr;
  CARNOT_CALL(TRITONBACKEND_ModelBackend(handle, &backend));
  CARNOT_CALL(TRITONBACKEND_BackendConfig(backend, &message));
  json config;
  if (auto refused = parse(message, &config)) return refused;
  const auto line = config.find("cmdline");
  if (line == config.end() || !line->is_object()) return std::nullopt;
  const auto get = [&](const char* key) {
    return line->contains(key) && (*line)[key].is_string() ? (*line)[key].get<std::string>() : "";
  };
  *cache = get("cache-directory");
  *device = get("device");
  if (const std::string batch = get("default-max-batch-size"); !batch.empty()) *max_batch = std::atoll(batch.c_str());
  return std::nullopt;
}

std::vector<Tensor> tensors_of(const std::vector<IoInfo>& ios) {
  std::vector<Tensor> tensors;
  for (const IoInfo& io : ios)
    tensors.push_back({io.name, datatype_of(io.dtype), carnot_dtype_size(io.dtype), io.dims.empty()});
  return tensors;
}

}  // namespace

MaybeFailure Model::open(const std::string& folder, const std::string& cache, const std::string& device) {
  std::error_code error;
  std::string file = settings_.file;
  if (file.find('/') != std::string::npos) return invalid("default_model_filename '{}' is no plain file name", file);
  if (file.empty())
    for (const char* candidate : kFiles)
      if (file.empty() && fs::is_regular_file(fs::path(folder) / candidate, error)) file = candidate;
  const std::string version = fs::path(folder).filename().string();
  if (file.empty()) return invalid("version {} has none of model.engine, model.carnot and model.onnx", version);
  std::string path = (fs::path(folder) / file).string();
  if (!fs::is_regular_file(path, error)) return invalid("version {} has no file '{}'", version, file);
  if (file.ends_with(".onnx")) {
    const std::string source = path;
    if (auto refused = engine_of(source, cache, device, &path)) return refused;
  }
  try {
    engine_ = Engine::load(path);
    const json description = json::parse(engine_->describe_json());
    on_device_ = description.value("target", "cpu") != "cpu";
    inputs_ = tensors_of(engine_->inputs());
    outputs_ = tensors_of(engine_->outputs());
  } catch (const std::exception& e) {
    // The message may begin with where the file lies, which is no client's business.
    std::string text = e.what();
    for (size_t at; (at = text.find(path)) != std::string::npos;) text.replace(at, path.size(), file);
    return invalid("{}", text);
  }
  return std::nullopt;
}

MaybeFailure Model::create(TRITONBACKEND_Model* handle, std::unique_ptr<Model>* model) {
  auto made = std::make_unique<Model>();
  const char* name = nullptr;
  CARNOT_CALL(TRITONBACKEND_ModelName(handle, &name));
  made->name_ = name;
  uint64_t version = 0;
  CARNOT_CALL(TRITONBACKEND_ModelVersion(handle, &version));
  TRITONBACKEND_ArtifactType type{};
  const char* repository = nullptr;
  CARNOT_CALL(TRITONBACKEND_ModelRepository(handle, &type, &repository));
  if (type != TRITONBACKEND_ARTIFACT_FILESYSTEM)
    return failure(TRITONSERVER_ERROR_UNSUPPORTED, "model '{}' does not lie in a file system", made->name_);
  const std::string folder = (fs::path(repository) / std::to_string(version)).string();

  TRITONSERVER_Message* message = nullptr;
  CARNOT_CALL(TRITONBACKEND_ModelConfig(handle, 1, &message));
  json config;
  auto refused = parse(message, &config);
  ignored(TRITONSERVER_MessageDelete(message));
  if (refused) return refused;
  if ((refused = read_settings(config, &made->settings_))) return refused;
  std::string cache, device;
  int64_t default_max_batch = kDefaultMaxBatch;
  if ((refused = read_options(handle, &cache, &device, &default_max_batch))) return refused;
  if ((refused = made->open(folder, cache, device))) return refused;

  bool may_complete = false, changed = false;
  CARNOT_CALL(TRITONBACKEND_ModelAutoCompleteConfig(handle, &may_complete));
  if (may_complete) complete(*made->engine_, default_max_batch, &config, &changed);
  if ((refused = check(*made->engine_, config))) return refused;
  if (changed) {
    const std::string text = config.dump();
    CARNOT_CALL(TRITONSERVER_MessageNewFromSerializedJson(&message, text.data(), text.size()));
    refused = taken(TRITONBACKEND_ModelSetConfig(handle, 1, message));
    ignored(TRITONSERVER_MessageDelete(message));
    if (refused) return refused;
    if ((refused = read_settings(config, &made->settings_))) return refused;
  }
  *model = std::move(made);
  return std::nullopt;
}

}  // namespace carnot::triton
