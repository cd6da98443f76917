// SPDX-License-Identifier: Apache-2.0
#include "grpc/server.hpp"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>

#include <condition_variable>
#include <limits>
#include <system_error>
#include <thread>

#include "grpc/calls.hpp"
#include "grpc/service.hpp"
#include "grpc/tls_credentials.hpp"

namespace carnot::serve {
namespace {

constexpr int kQueues = 2;
// Clients of a name with several addresses spread again after this time; calls under way are not touched.
constexpr int kMaxConnectionAgeMs = 30 * 60 * 1000;

}  // namespace

struct GrpcServer::Impl {
  explicit Impl(Core& core) : core(core), service(make_service(core)) {}

  Core& core;
  std::unique_ptr<AsyncPart> service;
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues;
  std::shared_ptr<grpc::ServerCredentials> credentials;  // asked by the server as long as it lives
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

GrpcServer::GrpcServer(Core& core, const std::string& address, int port, const std::shared_ptr<TlsFiles>& tls)
    : impl_(std::make_unique<Impl>(core)) {
  // That service cannot ask for tokens.
  grpc::EnableDefaultHealthCheckService(!core.options.token_for_probes);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  const std::string where =
      (address.find(':') == std::string::npos ? address : "[" + address + "]") + ":" + std::to_string(port);
  impl_->credentials = tls ? tls_credentials(tls) : grpc::InsecureServerCredentials();
  builder.AddListeningPort(where, impl_->credentials, &impl_->port);
  builder.RegisterService(impl_->service.get());
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
    for (int i = 0; i < 8; ++i) await_calls(core, *impl_->service, *queue);
    impl_->threads.emplace_back([q = queue.get()] { serve_calls(*q); });
  }
  if (impl_->server->GetHealthCheckService()) impl_->health = std::thread([this] { impl_->watch_health(); });
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
  if (impl_->health.joinable()) impl_->health.join();
  for (auto& queue : impl_->queues) queue->Shutdown();
  for (std::thread& t : impl_->threads) t.join();
  impl_->threads.clear();
}

}  // namespace carnot::serve
