// SPDX-License-Identifier: Apache-2.0
#include "grpc/server.hpp"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>

#include <condition_variable>
#include <limits>
#include <system_error>
#include <thread>

#include "grpc/calls.hpp"

namespace carnot::serve {
namespace {

using grpc::ServerContext;
using grpc::Status;

constexpr int kQueues = 2;
// Clients of a name with several addresses spread again after this time; calls under way are not touched.
constexpr int kMaxConnectionAgeMs = 30 * 60 * 1000;

template <typename Message>
Status give(Or<Message> from, Message* to) {
  if (!from) return grpc_status(from.fault());
  *to = std::move(*from);
  return Status::OK;
}
Status give(const MaybeFault& refused) { return refused ? grpc_status(*refused) : Status::OK; }

Fault no_cuda() { return fault(Kind::kUnsupported, "this build has no CUDA shared memory: use system shared memory"); }
Fault no_control() {
  return fault(Kind::kUnavailable,
               "explicit model load / unload is not allowed: start the server with --model-control explicit");
}

// Everything but inference: rare calls, on gRPC's own threads.
class Service final : public AsyncPart {
 public:
  explicit Service(Core& core) : core_(core) {}

  Status ServerLive(ServerContext*, const inference::ServerLiveRequest*, inference::ServerLiveResponse* out) override {
    out->set_live(true);
    return Status::OK;
  }
  Status ServerReady(ServerContext*, const inference::ServerReadyRequest*,
                     inference::ServerReadyResponse* out) override {
    out->set_ready(core_.ready());
    return Status::OK;
  }
  Status ModelReady(ServerContext*, const inference::ModelReadyRequest* in,
                    inference::ModelReadyResponse* out) override {
    auto version = parse_version(in->name(), in->version());
    if (!version) return grpc_status(version.fault());
    out->set_ready(static_cast<bool>(core_.repository.find(in->name(), *version)));
    return Status::OK;
  }
  Status ServerMetadata(ServerContext*, const inference::ServerMetadataRequest*,
                        inference::ServerMetadataResponse* out) override {
    *out = server_metadata();
    return Status::OK;
  }
  Status ModelMetadata(ServerContext*, const inference::ModelMetadataRequest* in,
                       inference::ModelMetadataResponse* out) override {
    auto version = parse_version(in->name(), in->version());
    return version ? give(model_metadata(core_, in->name(), *version), out) : grpc_status(version.fault());
  }
  Status ModelConfig(ServerContext*, const inference::ModelConfigRequest* in,
                     inference::ModelConfigResponse* out) override {
    auto version = parse_version(in->name(), in->version());
    if (!version) return grpc_status(version.fault());
    auto model = core_.repository.find(in->name(), *version);
    if (!model) return grpc_status(model.fault());
    *out->mutable_config() = (*model)->config;
    return Status::OK;
  }
  Status ModelStatistics(ServerContext*, const inference::ModelStatisticsRequest* in,
                         inference::ModelStatisticsResponse* out) override {
    auto version = parse_version(in->name(), in->version());
    return version ? give(statistics(core_, in->name(), *version), out) : grpc_status(version.fault());
  }

  Status RepositoryIndex(ServerContext*, const inference::RepositoryIndexRequest* in,
                         inference::RepositoryIndexResponse* out) override {
    if (!in->repository_name().empty())
      return grpc_status(fault(Kind::kUnsupported, "'repository_name' specification is not supported"));
    for (const IndexEntry& entry : core_.repository.index(in->ready())) {
      auto* model = out->add_models();
      model->set_name(entry.name);
      model->set_version(entry.version);
      model->set_state(entry.state);
      model->set_reason(entry.reason);
    }
    return Status::OK;
  }
  Status RepositoryModelLoad(ServerContext*, const inference::RepositoryModelLoadRequest* in,
                             inference::RepositoryModelLoadResponse*) override {
    if (!core_.repository.may_control()) return grpc_status(no_control());
    LoadOverride what;
    for (const auto& [name, value] : in->parameters()) {
      if (name == "config" && value.has_string_param())
        what.config = value.string_param();
      else if (name.starts_with("file:") && value.has_bytes_param())
        what.files[name.substr(5)] = value.bytes_param();
      else
        return grpc_status(
            invalid("load parameter '{}': there are 'config' (string) and 'file:VERSION/FILE' (bytes)", name));
    }
    return give(core_.repository.load(in->model_name(), what));
  }
  Status RepositoryModelUnload(ServerContext*, const inference::RepositoryModelUnloadRequest* in,
                               inference::RepositoryModelUnloadResponse*) override {
    if (!core_.repository.may_control()) return grpc_status(no_control());
    core_.repository.unload(in->model_name());
    return Status::OK;
  }

  Status SystemSharedMemoryStatus(ServerContext*, const inference::SystemSharedMemoryStatusRequest* in,
                                  inference::SystemSharedMemoryStatusResponse* out) override {
    auto regions = core_.shared_memory.status(in->name());
    if (!regions) return grpc_status(regions.fault());
    for (const auto& region : *regions) {
      auto& r = (*out->mutable_regions())[region.name];
      r.set_name(region.name);
      r.set_key(region.key);
      r.set_offset(region.offset);
      r.set_byte_size(region.bytes);
    }
    return Status::OK;
  }
  Status SystemSharedMemoryRegister(ServerContext*, const inference::SystemSharedMemoryRegisterRequest* in,
                                    inference::SystemSharedMemoryRegisterResponse*) override {
    return give(core_.shared_memory.add({in->name(), in->key(), in->offset(), in->byte_size()}));
  }
  Status SystemSharedMemoryUnregister(ServerContext*, const inference::SystemSharedMemoryUnregisterRequest* in,
                                      inference::SystemSharedMemoryUnregisterResponse*) override {
    return give(core_.shared_memory.remove(in->name()));
  }
  Status CudaSharedMemoryStatus(ServerContext*, const inference::CudaSharedMemoryStatusRequest* in,
                                inference::CudaSharedMemoryStatusResponse*) override {
    return in->name().empty() ? Status::OK : grpc_status(no_cuda());
  }
  Status CudaSharedMemoryRegister(ServerContext*, const inference::CudaSharedMemoryRegisterRequest*,
                                  inference::CudaSharedMemoryRegisterResponse*) override {
    return grpc_status(no_cuda());
  }
  Status CudaSharedMemoryUnregister(ServerContext*, const inference::CudaSharedMemoryUnregisterRequest*,
                                    inference::CudaSharedMemoryUnregisterResponse*) override {
    return Status::OK;
  }

  Status TraceSetting(ServerContext*, const inference::TraceSettingRequest* in,
                      inference::TraceSettingResponse* out) override {
    return give(trace_settings(*in), out);
  }
  Status LogSettings(ServerContext*, const inference::LogSettingsRequest* in,
                     inference::LogSettingsResponse* out) override {
    if (auto refused = change_log_settings(*in)) return grpc_status(*refused);
    *out = log_settings();
    return Status::OK;
  }

 private:
  Core& core_;
};

}  // namespace

struct GrpcServer::Impl {
  explicit Impl(Core& core) : core(core), service(core) {}

  Core& core;
  Service service;
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues;
  std::unique_ptr<grpc::Server> server;
  std::vector<std::thread> threads;
  std::thread health;
  std::mutex mutex;
  std::condition_variable wake;
  bool stop = false;
  int port = 0;

  // grpc.health.v1 says of every service what ServerReady says.
  void watch_health() {
    std::unique_lock lock(mutex);
    bool known = false;
    server->GetHealthCheckService()->SetServingStatus(false);
    do {
      const bool ready = core.ready();
      if (ready != known) {
        server->GetHealthCheckService()->SetServingStatus(ready);
        server->GetHealthCheckService()->SetServingStatus("inference.GRPCInferenceService", ready);
      }
      known = ready;
    } while (!wake.wait_for(lock, std::chrono::milliseconds(50), [this] { return stop; }));
  }
};

GrpcServer::GrpcServer(Core& core, const std::string& address, int port) : impl_(std::make_unique<Impl>(core)) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  const std::string where =
      (address.find(':') == std::string::npos ? address : "[" + address + "]") + ":" + std::to_string(port);
  builder.AddListeningPort(where, grpc::InsecureServerCredentials(), &impl_->port);
  builder.RegisterService(&impl_->service);
  builder.SetMaxReceiveMessageSize(
      static_cast<int>(std::min<size_t>(core.options.max_body, std::numeric_limits<int>::max())));
  builder.SetMaxSendMessageSize(-1);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // else a port that is taken goes unnoticed
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, kMaxConnectionAgeMs);
  // Clients may ping as often as Triton lets them.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
  for (int i = 0; i < kQueues; ++i) impl_->queues.push_back(builder.AddCompletionQueue());
  impl_->server = builder.BuildAndStart();
  if (!impl_->server || impl_->port == 0) {
    for (auto& queue : impl_->queues) queue->Shutdown();
    for (auto& queue : impl_->queues) serve_calls(*queue);
    throw std::system_error(std::make_error_code(std::errc::address_in_use), where);
  }
  for (auto& queue : impl_->queues) {
    // Some in advance, so that calls that arrive together need not wait for one another.
    for (int i = 0; i < 8; ++i) await_calls(core, impl_->service, *queue);
    impl_->threads.emplace_back([q = queue.get()] { serve_calls(*q); });
  }
  impl_->health = std::thread([this] { impl_->watch_health(); });
}

GrpcServer::~GrpcServer() { halt(); }

int GrpcServer::port() const { return impl_->port; }

void GrpcServer::drain(std::chrono::system_clock::time_point until) { impl_->server->Shutdown(until); }

void GrpcServer::halt() {
  if (impl_->threads.empty()) return;
  impl_->server->Shutdown(std::chrono::system_clock::now());
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stop = true;
  }
  impl_->wake.notify_all();
  impl_->health.join();
  for (auto& queue : impl_->queues) queue->Shutdown();
  for (std::thread& t : impl_->threads) t.join();
  impl_->threads.clear();
}

}  // namespace carnot::serve
