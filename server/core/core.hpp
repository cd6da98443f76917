// SPDX-License-Identifier: Apache-2.0
// What the protocols share: the repository and its executor, shared memory, the state of the whole server; and the
// answers that are messages in both protocols (gRPC sends them, HTTP prints them as JSON).
#pragma once
#include <atomic>

#include "core/auth.hpp"
#include "core/observer.hpp"
#include "core/repository.hpp"
#include "core/shared_memory.hpp"
#include "kserve.pb.h"

namespace carnot::serve {

struct Core {
  explicit Core(const ServerOptions& options);

  const ServerOptions options;
  std::atomic<bool> leaving{false};   // not ready any more
  std::atomic<bool> refusing{false};  // new requests are refused
  std::atomic<int64_t> in_flight{0};  // accepted inference requests without an answer
  Auth auth;
  Observer observer;
  SharedMemory shared_memory;
  Executor executor;
  Repository repository;

  bool ready() const { return !leaving && repository.ready(); }
  // Refuses (done() with kUnavailable) once the server is leaving.
  void infer(std::unique_ptr<Job> job, bool here);
};

inference::ServerMetadataResponse server_metadata();
Or<inference::ModelMetadataResponse> model_metadata(const Core& core, const std::string& name, int64_t version);
// "" = all models; else the fault that clients know.
Or<inference::ModelStatisticsResponse> statistics(const Core& core, const std::string& name, int64_t version);
// "" = -1; else a number or a fault.
Or<int64_t> parse_version(const std::string& name, const std::string& text);

// Log settings by name, as both protocols read and write them.
inference::LogSettingsResponse log_settings();
MaybeFault change_log_settings(const inference::LogSettingsRequest& request);

}  // namespace carnot::serve
