// SPDX-License-Identifier: Apache-2.0
#include "core/repository.hpp"

#include <stdlib.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "core/config.hpp"
#include "core/ensemble.hpp"
#include "core/log.hpp"
#include "core/proto_json.hpp"
#include "core/sequence.hpp"
#include "core/warmup.hpp"

namespace carnot::serve {
namespace {

namespace fs = std::filesystem;

// Tried in this order when the configuration names no file.
constexpr const char* kModelFiles[] = {"model.engine", "model.carnot", "model.onnx"};
constexpr std::uintmax_t kMaxConfigBytes = 4 << 20;

// A model or file name that stays inside its folder.
bool plain_name(const std::string& name) {
  return !name.empty() && name.size() < 256 && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos && name[0] != '.';
}

std::optional<int64_t> version_number(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value <= 0 || text[0] == '0') return std::nullopt;
  return value;
}

std::vector<int64_t> version_folders(const std::string& folder) {
  std::vector<int64_t> versions;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (auto v = version_number(entry.path().filename().string()); v && entry.is_directory(error))
      versions.push_back(*v);
  std::sort(versions.begin(), versions.end());
  return versions;
}

Or<std::vector<int64_t>> chosen_versions(const std::string& folder, const inference::ModelVersionPolicy& policy) {
  std::vector<int64_t> all = version_folders(folder);
  if (policy.has_all()) return all;
  if (policy.has_specific()) {
    std::vector<int64_t> wanted(policy.specific().versions().begin(), policy.specific().versions().end());
    for (int64_t v : wanted)
      if (!std::binary_search(all.begin(), all.end(), v))
        return invalid("version_policy names version {}, that is not there", v);
    std::sort(wanted.begin(), wanted.end());
    return wanted;
  }
  const size_t keep = policy.has_latest() ? std::max<uint32_t>(policy.latest().num_versions(), 1) : 1;
  if (all.size() > keep) all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(keep));
  return all;
}

// Changes when a file of the model is added, removed or written.
std::string fingerprint(const std::string& folder) {
  std::error_code error;
  std::set<std::string> lines;
  for (fs::recursive_directory_iterator it(folder, error), end; it != end && lines.size() < 10000;
       it.increment(error)) {
    if (error) break;
    const bool file = it->is_regular_file(error);
    lines.insert(fmt::format("{}|{}|{}", it->path().string(), file ? it->file_size(error) : 0,
                             file ? it->last_write_time(error).time_since_epoch().count() : 0));
  }
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

// A folder that is there as long as the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code error;
    std::string pattern = (fs::temp_directory_path(error) / "carnot-load-XXXXXX").string();
    if (mkdtemp(pattern.data())) path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code error;
    if (!path_.empty()) fs::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

MaybeFault write_files(const std::map<std::string, std::string>& files, const std::string& folder) {
  std::error_code error;
  for (const auto& [name, bytes] : files) {
    // "1/model.onnx" and nothing else: the name comes from a client.
    const size_t slash = name.find('/');
    const std::string version = name.substr(0, slash), file = slash == std::string::npos ? "" : name.substr(slash + 1);
    if (!version_number(version) || !plain_name(file))
      return invalid("file '{}': write VERSION/FILE, for example 'file:1/model.onnx'", name);
    fs::create_directories(fs::path(folder) / version, error);
    std::ofstream out(fs::path(folder) / version / file, std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!out.flush()) return fault(Kind::kInternal, "no room for the file '{}'", name);
  }
  return std::nullopt;
}

void read_labels(const std::string& folder, const inference::ModelConfig& config, Runner* runner) {
  for (size_t i = 0; i < runner->outputs().size(); ++i)
    for (const auto& output : config.output()) {
      if (output.name() != runner->outputs()[i].name || !plain_name(output.label_filename())) continue;
      std::ifstream in(fs::path(folder) / output.label_filename());
      for (std::string line; std::getline(in, line) && runner->outputs()[i].labels.size() < 1'000'000;)
        runner->output(i).labels.push_back(line);
    }
}

}  // namespace

Repository::Repository(const ServerOptions& options, Executor& executor)
    : options_(options), executor_(executor), cache_(std::make_shared<ResponseCache>(options.cache_bytes)) {}

bool Repository::may_control() const { return options_.control == "explicit"; }

std::vector<std::string> Repository::folders() const {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(options_.repository, error)) {
    const std::string name = entry.path().filename().string();
    if (plain_name(name) && entry.is_directory(error)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Or<std::shared_ptr<const ModelVersion>> Repository::read_version(const std::string& folder, int64_t version,
                                                                 inference::ModelConfig config, bool derived) {
  const auto begin = Clock::now();
  const fs::path inside = fs::path(folder) / std::to_string(version);
  std::error_code error;
  std::string file = config.default_model_filename();
  if (!file.empty() && !plain_name(file)) return invalid("default_model_filename '{}' is no plain file name", file);
  if (file.empty())
    for (const char* candidate : kModelFiles)
      if (file.empty() && fs::is_regular_file(inside / candidate, error)) file = candidate;
  if (file.empty()) return invalid("version {} has none of model.engine, model.carnot and model.onnx", version);
  if (!fs::is_regular_file(inside / file, error)) return invalid("version {} has no file '{}'", version, file);
  const std::string path = (inside / file).string();
  auto model = std::make_shared<ModelVersion>();
  std::shared_ptr<Runner> runner;
  std::shared_ptr<Scheduler> scheduler;
  std::shared_ptr<Sequencer> sequencer;
  try {
    const bool onnx = file.ends_with(".onnx");
    if (onnx && !options_.build)
      return fault(Kind::kUnsupported,
                   "'{}' is no engine, and this server has no compiler: build it with `carnot build`", file);
    Engine engine = onnx ? options_.build(path) : Engine::load(path);
    if (auto refused = complete_config(engine, derived, &config)) return *refused;
    model->name = config.name();
    model->version = version;
    runner = std::make_shared<Runner>(std::move(engine), config);
    read_labels(folder, config, runner.get());
    model->signature = runner;
    model->statistics = std::make_shared<Statistics>();
    scheduler = std::make_shared<Scheduler>(SchedulerOptions::from(config, options_.threads, options_.max_queue),
                                            runner, version, executor_, model->statistics);
    model->target = scheduler;
    if (config.has_sequence_batching()) {
      auto made = Sequencer::make(config, folder, options_.max_queue, runner, scheduler, executor_, model->statistics);
      if (!made) return made.fault();
      model->target = sequencer = *made;
    }
  } catch (const std::exception& e) {
    // The message may begin with where the file lies, which is no client's business.
    std::string text = e.what();
    for (size_t at; (at = text.find(path)) != std::string::npos;) text.replace(at, path.size(), file);
    return invalid("{}", text);
  }
  const auto prepare = [&](Job& job) {
    if (sequencer) sequencer->prepare(job);
  };
  if (auto refused = warm_up(config, folder, *runner, *scheduler, prepare)) return *refused;
  model->config = std::move(config);
  add_cache(*model);
  model->load_seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return std::shared_ptr<const ModelVersion>(std::move(model));
}

Or<std::shared_ptr<const ModelVersion>> Repository::read_ensemble(int64_t version,
                                                                  const inference::ModelConfig& config) {
  auto model = std::make_shared<ModelVersion>();
  model->name = config.name();
  model->version = version;
  model->config = config;
  model->signature = std::make_shared<Signature>(config);
  model->statistics = std::make_shared<Statistics>();
  const auto find_member = [this](const std::string& name, int64_t v) { return find(name, v); };
  auto ensemble = Ensemble::make(config, model->signature, version, find_member, model->statistics);
  if (!ensemble) return ensemble.fault();
  model->target = *ensemble;
  add_cache(*model);
  return std::shared_ptr<const ModelVersion>(std::move(model));
}

void Repository::add_cache(ModelVersion& model) const {
  if (!model.config.response_cache().enable()) return;
  if (cache_->budget() == 0) {
    log::warning("model '{}': response_cache has no effect, the server's cache has no bytes (--cache-size)", model.name);
    return;
  }
  model.target = std::make_shared<CachedTarget>(cache_, model.signature, model.version, model.target, model.statistics);
}

MaybeFault Repository::load_members(const inference::ModelConfig& config) {
  for (int s = 0; s < config.ensemble_scheduling().step_size(); ++s) {
    const std::string& member = config.ensemble_scheduling().step(s).model_name();
    if (std::find(chain_.begin(), chain_.end(), member) != chain_.end()) {
      std::string way;
      for (const std::string& name : chain_) way += "'" + name + "' -> ";
      return invalid("ensemble_scheduling step {}: the ensemble is made of itself: {}'{}'", s, way, member);
    }
    if (find(member, -1)) continue;
    if (auto refused = load_locked(member, {}))
      return invalid("ensemble_scheduling step {}: model_name '{}': {}", s, member, refused->text);
  }
  return std::nullopt;
}

Or<std::vector<std::shared_ptr<const ModelVersion>>> Repository::read(const std::string& name,
                                                                      const LoadOverride& override) {
  std::unique_ptr<TemporaryFolder> temporary;
  std::string folder = (fs::path(options_.repository) / name).string();
  std::error_code error;
  if (!override.files.empty()) {
    if (override.config.empty()) return invalid("a load with files needs the parameter 'config' too");
    temporary = std::make_unique<TemporaryFolder>();
    if (temporary->path().empty()) return fault(Kind::kInternal, "no room for files");
    folder = temporary->path();
    if (auto refused = write_files(override.files, folder)) return *refused;
  } else if (!fs::is_directory(folder, error)) {
    return fault(Kind::kNotFound, "failed to load '{}', failed to poll from model repository", name);
  }
  inference::ModelConfig config;
  const fs::path file = fs::path(folder) / "config.pbtxt";
  // A configuration that says nothing of tensors and batches leaves them to the engine, as a missing one does. Parsed,
  // "0" and nothing are the same.
  bool silent = true;
  if (!override.config.empty()) {
    if (auto refused = from_json(override.config, &config)) return invalid("config: {}", refused->text);
    silent = override.config.find("max_batch_size") == std::string::npos;
  } else if (fs::is_regular_file(file, error)) {
    if (fs::file_size(file, error) > kMaxConfigBytes)
      return invalid("config.pbtxt is larger than {} bytes", kMaxConfigBytes);
    std::ifstream in(file, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    if (auto refused = from_text(text, &config)) return invalid("config.pbtxt, {}", refused->text);
    silent = text.find("max_batch_size") == std::string::npos;
  }
  const bool derived = silent && config.input().empty() && config.output().empty();
  if (!config.name().empty() && config.name() != name)
    return invalid("config.pbtxt has the name '{}', its folder is '{}'", config.name(), name);
  config.set_name(name);
  const bool ensemble = config.has_ensemble_scheduling() || config.platform() == "ensemble";
  if (ensemble) {
    auto refused = complete_ensemble(&config);
    if (!refused) refused = load_members(config);
    if (refused) return invalid("load failed for model '{}': {}", name, refused->text);
  }
  auto versions = chosen_versions(folder, config.version_policy());
  if (!versions) return versions.fault();
  if (ensemble && versions->empty()) versions->push_back(1);  // its folder would be an empty one
  if (versions->empty())
    return invalid("'{}' has no version folder: put the model into '{}/1/model.engine'", name, name);
  std::vector<std::shared_ptr<const ModelVersion>> models;
  for (int64_t version : *versions) {
    auto model = ensemble ? read_ensemble(version, config) : read_version(folder, version, config, derived);
    if (!model)
      return fault(model.fault().kind, "load failed for model '{}': version {} is at UNAVAILABLE state: {};", name,
                   version, model.fault().text);
    models.push_back(*model);
  }
  return models;
}

MaybeFault Repository::load(const std::string& name, const LoadOverride& override) {
  std::lock_guard one(loading_);
  chain_.clear();
  return load_locked(name, override);
}

MaybeFault Repository::load_locked(const std::string& name, const LoadOverride& override) {
  if (!plain_name(name)) return invalid("'{}' is no model name", name);
  const std::string print = fingerprint((fs::path(options_.repository) / name).string());
  {
    std::unique_lock lock(mutex_);
    const auto it = models_.find(name);
    if (it != models_.end() && it->second.versions.empty()) it->second.failure.clear();
  }
  chain_.push_back(name);
  auto models = read(name, override);
  chain_.pop_back();
  // Versions that are replaced die behind the lock: freeing a large engine takes time.
  Entry before;
  std::unique_lock lock(mutex_);
  if (!models) {
    log::error("{}", models.fault().text);
    if (models.fault().kind == Kind::kNotFound && !models_.contains(name)) return models.fault();
    Entry& entry = models_[name];
    entry.wanted = true;
    entry.fingerprint = print;
    const bool serves = std::any_of(entry.versions.begin(), entry.versions.end(),
                                    [](const auto& v) { return v.second.model != nullptr; });
    if (!serves) entry.failure = models.fault().text;
    return models.fault();
  }
  Entry& entry = models_[name];
  before = std::exchange(entry, {});
  entry.fingerprint = print;
  for (auto& model : *models) {
    log::info("model '{}' version {} is ready ({:.1f} s)", name, model->version, model->load_seconds);
    const int64_t version = model->version;
    entry.versions[version] = {"READY", "", std::move(model)};
  }
  for (const auto& [version, slot] : before.versions)
    if (!entry.versions.contains(version)) entry.versions[version] = {"UNAVAILABLE", "unloaded", nullptr};
  lock.unlock();
  return std::nullopt;
}

void Repository::unload(const std::string& name, bool dependents) {
  std::vector<std::shared_ptr<const ModelVersion>> dying;
  std::set<std::string> members;
  {
    std::lock_guard one(loading_);
    std::unique_lock lock(mutex_);
    const auto it = models_.find(name);
    if (it == models_.end()) return;
    it->second.wanted = false;
    for (auto& [version, slot] : it->second.versions) {
      if (slot.model) log::info("model '{}' version {} is unloaded", name, version);
      if (slot.model && dependents)
        for (const auto& step : slot.model->config.ensemble_scheduling().step()) members.insert(step.model_name());
      dying.push_back(std::move(slot.model));
      slot = {"UNAVAILABLE", "unloaded", nullptr};
    }
  }
  for (const std::string& member : members) unload(member, true);
}

void Repository::load_initial() {
  const std::vector<std::string> there = folders();
  std::vector<std::string> names;
  if (options_.control == "explicit") {
    for (const std::string& name : options_.load)
      if (name == "*")
        names.insert(names.end(), there.begin(), there.end());
      else
        names.push_back(name);
  } else {
    names = there;
  }
  {
    // Known from the start, so that nobody takes a server for ready that is still loading.
    std::unique_lock lock(mutex_);
    for (const std::string& name : names) models_[name];
  }
  for (const std::string& name : names)
    if (!find(name, -1)) (void)load(name, {});  // failures are logged there; members of ensembles may be there already
  std::unique_lock lock(mutex_);
  started_ = true;
}

void Repository::poll() {
  const std::vector<std::string> there = folders();
  std::vector<std::string> changed, gone;
  {
    std::shared_lock lock(mutex_);
    for (const std::string& name : there) {
      const auto it = models_.find(name);
      if (it == models_.end() || it->second.fingerprint != fingerprint((fs::path(options_.repository) / name).string()))
        changed.push_back(name);
    }
    for (const auto& [name, entry] : models_)
      if (entry.wanted && !std::binary_search(there.begin(), there.end(), name)) gone.push_back(name);
  }
  for (const std::string& name : changed) {
    // An ensemble may have brought it meanwhile.
    const std::string print = fingerprint((fs::path(options_.repository) / name).string());
    std::shared_lock lock(mutex_);
    const auto it = models_.find(name);
    const bool known = it != models_.end() && it->second.fingerprint == print;
    lock.unlock();
    if (!known) (void)load(name, {});
  }
  for (const std::string& name : gone) unload(name);
}

std::vector<IndexEntry> Repository::index(bool ready_only) const {
  std::set<std::string> names;
  if (!ready_only)
    for (const std::string& name : folders()) names.insert(name);
  std::shared_lock lock(mutex_);
  for (const auto& [name, entry] : models_) names.insert(name);
  std::vector<IndexEntry> list;
  for (const std::string& name : names) {
    const auto it = models_.find(name);
    if (it == models_.end() || it->second.versions.empty()) {
      if (ready_only) continue;
      IndexEntry entry{name, "", "", ""};
      if (it != models_.end()) {
        entry.state = it->second.failure.empty() ? "LOADING" : "UNAVAILABLE";
        entry.reason = it->second.failure;
      }
      list.push_back(entry);
      continue;
    }
    for (const auto& [version, slot] : it->second.versions)
      if (!ready_only || slot.model) list.push_back({name, std::to_string(version), slot.state, slot.reason});
  }
  return list;
}

bool Repository::ready() const {
  std::shared_lock lock(mutex_);
  if (!started_) return false;
  for (const auto& [name, entry] : models_)
    if (entry.wanted && std::none_of(entry.versions.begin(), entry.versions.end(),
                                     [](const auto& v) { return v.second.model != nullptr; }))
      return false;
  return true;
}

Or<std::shared_ptr<const ModelVersion>> Repository::find(const std::string& name, int64_t version) const {
  std::shared_lock lock(mutex_);
  const auto it = models_.find(name);
  if (it == models_.end()) return fault(Kind::kNotFound, "Request for unknown model: '{}' is not found", name);
  const auto& versions = it->second.versions;
  if (version >= 0) {
    const auto v = versions.find(version);
    if (v == versions.end())
      return fault(Kind::kNotFound, "Request for unknown model: '{}' version {} is not found", name, version);
    if (!v->second.model)
      return fault(Kind::kNotFound, "Request for unknown model: '{}' version {} is not at ready state", name, version);
    return v->second.model;
  }
  for (auto v = versions.rbegin(); v != versions.rend(); ++v)
    if (v->second.model) return v->second.model;
  if (versions.empty() && it->second.failure.empty() && it->second.wanted)
    return fault(Kind::kUnavailable, "Request for unknown model: '{}' is still loading", name);
  return fault(Kind::kNotFound, "Request for unknown model: '{}' has no available versions", name);
}

std::vector<int64_t> Repository::versions(const std::string& name) const {
  std::vector<int64_t> list;
  std::shared_lock lock(mutex_);
  if (const auto it = models_.find(name); it != models_.end())
    for (const auto& [version, slot] : it->second.versions)
      if (slot.model) list.push_back(version);
  return list;
}

std::vector<std::shared_ptr<const ModelVersion>> Repository::loaded() const {
  std::vector<std::shared_ptr<const ModelVersion>> list;
  std::shared_lock lock(mutex_);
  for (const auto& [name, entry] : models_)
    for (const auto& [version, slot] : entry.versions)
      if (slot.model) list.push_back(slot.model);
  return list;
}

void Repository::infer(std::unique_ptr<Job> job, bool here) {
  auto model = find(job->request.model, job->request.version);
  if (!model) {
    job->done({.fault = &model.fault()});
    return;
  }
  job->owner = *model;
  (*model)->target->submit(std::move(job), here);
}

}  // namespace carnot::serve
