// SPDX-License-Identifier: Apache-2.0
// carnot::Server: the core with its protocols.
#include "carnot/server.hpp"

#include <malloc.h>

#include <algorithm>
#include <cstring>
#include <shared_mutex>

#include "core/core.hpp"
#include "core/lane.hpp"
#include "core/log.hpp"
#include "core/proto_json.hpp"
#include "grpc/server.hpp"
#include "http/listener.hpp"
#include "http/routes.hpp"

namespace carnot {

using namespace serve;

namespace {

[[noreturn]] void raise(const Fault& fault) {
  carnot_status status = CARNOT_INTERNAL;
  switch (fault.kind) {
    case Kind::kInvalid:
    case Kind::kExists:
    case Kind::kTooLarge:
      status = CARNOT_INVALID_ARGUMENT;
      break;
    case Kind::kNotFound:
      status = CARNOT_NOT_FOUND;
      break;
    case Kind::kUnsupported:
    case Kind::kUnauthenticated:
    case Kind::kForbidden:
      status = CARNOT_UNSUPPORTED;
      break;
    case Kind::kCancelled:
    case Kind::kUnavailable:
      status = CARNOT_CANCELLED;
      break;
    case Kind::kInternal:
      break;
  }
  throw Exception(status, fault.text);
}

class EmbeddedJob : public Job {
 public:
  Core* core = nullptr;
  std::function<void(InferAnswer, std::exception_ptr)> tell;
  void done(const InferReply& reply) override {
    core->observer.end(*this, reply, "embedded");
    InferAnswer answer;
    try {
      if (reply.fault) raise(*reply.fault);
      answer.model = *reply.model;
      answer.version = reply.version;
      for (const OutputTensor& out : reply.outputs)
        answer.outputs.push_back({*out.name, out.type->dtype, out.shape, {out.data, out.data + out.bytes}});
    } catch (...) {
      return tell({}, std::current_exception());
    }
    tell(std::move(answer), nullptr);
  }
};

}  // namespace

struct Server::Impl {
  explicit Impl(ServerOptions o) : core(std::make_unique<Core>(o)) {}

  // What holds answers back to a listener goes before the listener: see ~Server.
  std::unique_ptr<HttpListener> http, metrics;
  std::unique_ptr<GrpcServer> grpc;
  std::unique_ptr<Core> core;
  std::unique_ptr<Lane> lane = std::make_unique<Lane>();
  std::thread poller;
  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false;
  std::atomic<bool> stopped{false};
  // Held shared by calls of the host program, so that stop() takes nothing away under them.
  mutable std::shared_mutex life;

  template <typename Fn>
  auto with_core(const Fn& fn) const {
    std::shared_lock lock(life);
    if (!core) throw Exception(CARNOT_CANCELLED, "the server has been stopped");
    return fn(*core);
  }

  void open_ports() {
    const ServerOptions& o = core->options;
    std::shared_ptr<TlsFiles> tls;
    if (!o.tls_certificate.empty() || !o.tls_key.empty() || !o.tls_client_ca.empty())
      tls = std::make_shared<TlsFiles>(o.tls_certificate, o.tls_key, o.tls_client_ca);
    HttpLimits limits{.threads = o.http_threads > 0
                                     ? o.http_threads
                                     : std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 4),
                      .max_body = o.max_body,
                      .max_connections = o.max_connections,
                      .read_timeout = o.read_timeout,
                      .idle_timeout = o.idle_timeout};
    const auto handler = [core = core.get(), lane = lane.get()](HttpRequest request,
                                                                std::shared_ptr<Responder> responder) {
      handle_http(*core, *lane, std::move(request), std::move(responder));
    };
    if (o.http_port >= 0) http = std::make_unique<HttpListener>(o.address, o.http_port, limits, handler, tls);
    if (o.grpc_port >= 0) grpc = std::make_unique<GrpcServer>(*core, o.address, o.grpc_port, tls);
    limits.threads = 1;
    limits.max_body = 1 << 16;
    const auto probes = [core = core.get()](const HttpRequest& request, const std::shared_ptr<Responder>& responder) {
      handle_probe(*core, request, *responder);
    };
    if (o.metrics_port >= 0) metrics = std::make_unique<HttpListener>(o.address, o.metrics_port, limits, probes);
  }

  void poll_folder() {
    std::unique_lock lock(mutex);
    while (!wake.wait_for(lock, core->options.poll_interval, [this] { return stopping; })) {
      lock.unlock();
      core->repository.poll();
      lock.lock();
    }
  }
};

Server::Server(ServerOptions options) {
  if (options.control != "none" && options.control != "poll" && options.control != "explicit")
    throw Exception(CARNOT_INVALID_ARGUMENT, "control '" + options.control + "' is none of none, poll and explicit");
  // Tensors of some 100 KB come and go with each request. Handing such blocks back to the system each time costs a page
  // fault for every 4 KB of the next one.
  mallopt(M_MMAP_THRESHOLD, 64 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
  log::settings().info = options.log_level > 0;
  log::settings().verbose = std::max(0, options.log_level - 1);
  log::settings().json = options.log_json;
  impl_ = std::make_unique<Impl>(std::move(options));
}

Server::~Server() {
  if (!impl_) return;
  stop(std::chrono::milliseconds(0));
}

void Server::start() {
  try {
    impl_->open_ports();
  } catch (const std::system_error& e) {
    throw Exception(CARNOT_IO, std::string("cannot listen: ") + e.what() +
                                   "; choose other ports with --http, --grpc and --metrics");
  }
  const ServerOptions& o = impl_->core->options;
  if (impl_->http) log::info("HTTP at {}:{}", o.address, impl_->http->port());
  if (impl_->grpc) log::info("gRPC at {}:{}", o.address, impl_->grpc->port());
  if (impl_->metrics) log::info("metrics at {}:{}/metrics", o.address, impl_->metrics->port());
  impl_->core->repository.load_initial();
  if (o.control == "poll") impl_->poller = std::thread([this] { impl_->poll_folder(); });
}

bool Server::ready() const {
  std::shared_lock lock(impl_->life);
  return impl_->core && impl_->core->ready();
}
int Server::http_port() const {
  std::shared_lock lock(impl_->life);
  return impl_->http ? impl_->http->port() : -1;
}
int Server::grpc_port() const {
  std::shared_lock lock(impl_->life);
  return impl_->grpc ? impl_->grpc->port() : -1;
}
int Server::metrics_port() const {
  std::shared_lock lock(impl_->life);
  return impl_->metrics ? impl_->metrics->port() : -1;
}

std::future<InferAnswer> Server::infer(const InferCall& call) {
  auto promise = std::make_shared<std::promise<InferAnswer>>();
  auto future = promise->get_future();
  infer(call, [promise](InferAnswer answer, std::exception_ptr failure) {
    if (failure)
      promise->set_exception(failure);
    else
      promise->set_value(std::move(answer));
  });
  return future;
}

void Server::infer(const InferCall& call, std::function<void(InferAnswer, std::exception_ptr)> done) {
  auto job = std::make_unique<EmbeddedJob>();
  job->request.model = call.model;
  job->request.version = call.version;
  job->request.id = call.id;
  job->request.priority = call.priority;
  job->request.timeout_us = call.timeout_us;
  for (const InferInput& input : call.inputs) {
    const Datatype* type = datatype_of(input.tensor.dtype());
    if (!type)
      throw Exception(CARNOT_INVALID_ARGUMENT, "input '" + input.name + "' has an element type that no model takes");
    job->request.inputs.push_back({.name = input.name,
                                   .type = type,
                                   .shape = input.tensor.dims(),
                                   .data = static_cast<const std::byte*>(input.tensor.raw()),
                                   .bytes = input.tensor.bytes()});
  }
  for (const std::string& name : call.outputs) job->request.outputs.push_back({.name = name});
  job->tell = std::move(done);
  impl_->with_core([&](Core& core) {
    job->core = &core;
    core.observer.begin(*job, "", "");
    core.infer(std::move(job), true);
  });
}

std::vector<ModelState> Server::models() const {
  return impl_->with_core([](const Core& core) {
    std::vector<ModelState> out;
    for (IndexEntry& entry : core.repository.index(false))
      out.push_back({std::move(entry.name), entry.version.empty() ? -1 : std::stoll(entry.version),
                     std::move(entry.state), std::move(entry.reason)});
    return out;
  });
}

void Server::load(const std::string& model) {
  if (auto refused = impl_->with_core([&](Core& core) { return core.repository.load(model, {}); })) raise(*refused);
}
void Server::unload(const std::string& model) {
  impl_->with_core([&](Core& core) { core.repository.unload(model); });
}

std::string Server::statistics_json() const {
  return impl_->with_core([](const Core& core) { return to_json(*serve::statistics(core, "", -1)); });
}

bool Server::stop(std::chrono::milliseconds bound) {
  if (impl_->stopped.exchange(true)) return true;
  Core& core = *impl_->core;
  const auto end = Clock::now() + bound;
  core.leaving = true;
  // Load balancers need a moment to see that this server is not ready; it serves on meanwhile.
  if (bound.count() > 0)
    std::this_thread::sleep_for(std::min<std::chrono::milliseconds>(core.options.drain_delay, bound));
  core.refusing = true;
  for (auto* listener : {impl_->http.get(), impl_->metrics.get()})
    if (listener) listener->drain();
  if (impl_->grpc) {
    const auto left = std::max(end - Clock::now(), Clock::duration::zero());
    impl_->grpc->drain(std::chrono::system_clock::now() +
                       std::chrono::duration_cast<std::chrono::system_clock::duration>(left));
  }
  const auto busy = [&] { return core.in_flight > 0 || (impl_->http && impl_->http->connections() > 0); };
  while (busy() && Clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  const bool clean = !busy();
  // What still waits is dropped, and what runs cannot be stopped: a run at a time for each instance.
  core.executor.abandon();
  while (core.in_flight > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  if (impl_->poller.joinable()) impl_->poller.join();
  // First the threads that bring requests, then those that answer them, then the connections that wait for answers.
  for (auto* listener : {impl_->http.get(), impl_->metrics.get()})
    if (listener) listener->halt();
  if (impl_->grpc) impl_->grpc->halt();
  std::lock_guard lock(impl_->life);
  impl_->lane.reset();
  impl_->grpc.reset();
  impl_->core.reset();
  impl_->http.reset();
  impl_->metrics.reset();
  return clean;
}

}  // namespace carnot
