// SPDX-License-Identifier: Apache-2.0
// The models of a folder in Triton's layout: NAME/[config.pbtxt]/VERSION/model.{engine,carnot,onnx}. Loads, replaces
// and unloads them under traffic: a version that is being replaced or unloaded lives until its last request has its
// answer, and a load that fails leaves what was there. All members may be called from any thread; loads run one after
// the other on the caller's thread.
#pragma once
#include <functional>
#include <map>
#include <shared_mutex>

#include "carnot/server.hpp"
#include "core/response_cache.hpp"
#include "core/scheduler.hpp"
#include "core/target.hpp"

namespace carnot::serve {

// A loaded version. Immutable but for its scheduler and statistics.
struct ModelVersion {
  std::string name;
  int64_t version = 0;
  inference::ModelConfig config;
  std::shared_ptr<const Signature> signature;
  std::shared_ptr<Statistics> statistics;
  std::shared_ptr<Target> target;
  double load_seconds = 0;
};

struct IndexEntry {
  std::string name, version, state, reason;
};

// What a load request may bring along.
struct LoadOverride {
  std::string config;                        // JSON of a ModelConfig, "" = config.pbtxt of the folder
  std::map<std::string, std::string> files;  // "1/model.onnx": bytes; then the folder is not looked at
};

class Repository {
 public:
  Repository(const ServerOptions& options, Executor& executor);

  // The models that the options ask for. Failures are logged and show in index() and ready().
  void load_initial();
  MaybeFault load(const std::string& name, const LoadOverride& override);
  // Unknown names are no mistake. `dependents`: the models that an ensemble is made of, too.
  void unload(const std::string& name, bool dependents = false);
  // Compares the folder with what is loaded: new and changed models are loaded, those whose folder is gone unloaded.
  void poll();
  bool may_control() const;  // by clients
  const ResponseCache& cache() const { return *cache_; }

  std::vector<IndexEntry> index(bool ready_only) const;
  // True once load_initial() is over and every model asked for is ready.
  bool ready() const;
  // Version -1: the highest. The fault has the text that clients know.
  Or<std::shared_ptr<const ModelVersion>> find(const std::string& name, int64_t version) const;
  std::vector<int64_t> versions(const std::string& name) const;  // ready ones, ascending
  std::vector<std::shared_ptr<const ModelVersion>> loaded() const;

  void infer(std::unique_ptr<Job> job, bool here);

 private:
  struct Slot {
    std::string state, reason;
    std::shared_ptr<const ModelVersion> model;
  };
  struct Entry {
    std::map<int64_t, Slot> versions;
    std::string failure;      // of a load that came to no version
    bool wanted = true;       // false after unload()
    std::string fingerprint;  // of the folder when it was loaded
  };

  Or<std::vector<std::shared_ptr<const ModelVersion>>> read(const std::string& name, const LoadOverride& override);
  MaybeFault load_locked(const std::string& name, const LoadOverride& override);
  void add_cache(ModelVersion& model) const;  // if its configuration asks for it
  // An ensemble brings the models it is made of, if they are not there yet.
  MaybeFault load_members(const inference::ModelConfig& config);
  Or<std::shared_ptr<const ModelVersion>> read_ensemble(int64_t version, const inference::ModelConfig& config);
  Or<std::shared_ptr<const ModelVersion>> read_version(const std::string& folder, int64_t version,
                                                       inference::ModelConfig config, bool derived);
  std::vector<std::string> folders() const;

  const ServerOptions options_;
  Executor& executor_;
  const std::shared_ptr<ResponseCache> cache_;
  std::mutex loading_;
  std::vector<std::string> chain_;  // under loading_: the model that is being loaded, and for which ensemble
  mutable std::shared_mutex mutex_;
  std::map<std::string, Entry, std::less<>> models_;
  bool started_ = false;
};

}  // namespace carnot::serve
