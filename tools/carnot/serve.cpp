// SPDX-License-Identifier: Apache-2.0
// carnot serve: the model server with the compiler beside it, so that .onnx files in the repository are built as they
// are loaded.
#include <thread>

#include "carnot/server.hpp"
#include "command.hpp"

namespace carnot::tool {
namespace {

struct Arguments {
  ServerOptions options;
  size_t max_body_mib = 64;
  int read_timeout = 30, idle_timeout = 300, poll_seconds = 15;
  double drain_timeout = 30, drain_delay = 0;
  bool exit_on_error = false, check = false;
};

// Loads what would be served, tells how each model fares, and opens no port.
Status check(const ServerOptions& options) {
  ServerOptions o = options;
  o.http_port = o.grpc_port = o.metrics_port = -1;
  if (o.control != "none" && o.load.empty()) o.load = {"*"};
  if (!o.load.empty()) o.control = "explicit";
  o.log_level = 0;
  Server server(o);
  server.start();
  bool good = true;
  for (const ModelState& m : server.models()) {
    if (m.state.empty()) continue;
    good = good && m.state == "READY";
    const std::string version = m.version < 0 ? "" : fmt::format(" version {}", m.version);
    fmt::print("{}{}: {}{}{}\n", m.name, version, m.state, m.reason.empty() ? "" : ": ", m.reason);
  }
  if (!good || !server.ready()) return fail(Code::kInvalidArgument, "not every model can be served (above)");
  return {};
}

Status run(Arguments& a) {
  ServerOptions& o = a.options;
  o.max_body = a.max_body_mib << 20;
  o.read_timeout = std::chrono::seconds(a.read_timeout);
  o.idle_timeout = std::chrono::seconds(a.idle_timeout);
  o.poll_interval = std::chrono::seconds(a.poll_seconds);
  o.drain_delay = std::chrono::milliseconds(static_cast<int64_t>(a.drain_delay * 1000));
  if (!o.load.empty()) o.control = "explicit";
  o.build = [](const std::string& path) {
    auto engine = open_engine(path, nullptr);
    if (!engine) throw Exception(static_cast<carnot_status>(engine.error().code), engine.error().message);
    return std::move(*engine);
  };
  if (a.check) return check(o);
  Server server(o);
  server.start();
  if (a.exit_on_error && !server.ready())
    return fail(Code::kInvalidArgument, "not every model could be loaded (above), and --exit-on-error was given");
  while (!interrupted()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto bound = std::chrono::milliseconds(static_cast<int64_t>(a.drain_timeout * 1000));
  if (!server.stop(bound))
    return fail(Code::kCancelled, "requests were still running after {} s (--drain-timeout)", a.drain_timeout);
  return {};
}

}  // namespace

void add_serve(CLI::App& app, int* exit_code) {
  auto a = std::make_shared<Arguments>();
  ServerOptions& o = a->options;
  o.http_port = 8000;
  o.grpc_port = 8001;
  o.metrics_port = 8002;
  CLI::App* c =
      app.add_subcommand("serve", "Serve a model repository: KServe v2 over HTTP and gRPC with Triton's extensions");
  c->add_option("repository,--model-repository,--model-store", o.repository,
                "folder of NAME/[config.pbtxt]/VERSION/model.{engine,onnx}")
      ->required()
      ->check(CLI::ExistingDirectory);
  c->add_option("--http,--http-port", o.http_port, "port; 0: any, -1: none")->capture_default_str();
  c->add_option("--grpc,--grpc-port", o.grpc_port, "port; 0: any, -1: none")->capture_default_str();
  c->add_option("--metrics,--metrics-port", o.metrics_port, "port; 0: any, -1: none")->capture_default_str();
  c->add_option("--address,--http-address", o.address, "address to listen at")->capture_default_str();
  c->add_option("--model-control,--model-control-mode", o.control,
                "none: all models at the start; poll: and again; explicit: as clients say")
      ->check(CLI::IsMember({"none", "poll", "explicit"}))
      ->capture_default_str();
  c->add_option("--load-model", o.load, "with explicit control: a model to load at the start, or *");
  c->add_option("--repository-poll-secs", a->poll_seconds, "seconds between looks at the folder")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  c->add_flag("--exit-on-error", a->exit_on_error, "end with an error if a model cannot be loaded at the start");
  c->add_flag("--check", a->check, "load the models, tell how each fares, and end: 0 if all can be served");
  c->add_option("--threads", o.threads, "threads of one run (0: one per core)")->capture_default_str();
  c->add_option("--http-threads,--http-thread-count", o.http_threads,
                "threads of HTTP connections (0: one per core, four at most)")
      ->capture_default_str();
  c->add_option("--max-body", a->max_body_mib, "MiB of a request, packed or unpacked")
      ->check(CLI::Range(size_t{1}, size_t{1} << 20))
      ->capture_default_str();
  c->add_option("--max-queue", o.max_queue, "requests waiting for one model; more are refused with 503")
      ->capture_default_str();
  c->add_option("--cache-size,--response-cache-byte-size", o.cache_bytes,
                "bytes of answers kept for models with response_cache; 0: none")
      ->capture_default_str();
  c->add_option("--max-connections", o.max_connections, "HTTP connections at the same time")->capture_default_str();
  c->add_option("--read-timeout", a->read_timeout, "seconds for a request to arrive")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  c->add_option("--idle-timeout", a->idle_timeout, "seconds between requests of a connection")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
  c->add_option("--allow-client-shm", o.client_shared_memory, "true: clients may register system shared memory")
      ->capture_default_str();
  c->add_option("--shm-prefix", o.shared_memory_prefix, "what the key of a client's region must begin with");
  c->add_option("--tls-cert", o.tls_certificate,
                "PEM file: HTTP and gRPC take TLS only, with this certificate and chain");
  c->add_option("--tls-key", o.tls_key, "PEM file: its key");
  c->add_option("--tls-client-ca", o.tls_client_ca, "PEM file: clients must show a certificate signed by one of these");
  c->add_option("--token-file", o.token_file,
                "requests need 'Authorization: Bearer TOKEN' with a token of this file (one a line)");
  c->add_option("--admin-token-file", o.admin_token_file,
                "loading, unloading, shared memory and settings need a token of this file");
  c->add_flag("--token-for-probes", o.token_for_probes, "health, readiness and metrics need a token, too");
  c->add_option("--otlp-endpoint", o.otlp_endpoint, "send traces to this OpenTelemetry collector: http://HOST:4318");
  c->add_option("--trace-rate", o.trace_rate, "trace one in so many requests, and all whose caller traces")
      ->check(CLI::Range(1u, 1000000000u))
      ->capture_default_str();
  c->add_option("--web-page", o.web_page, "true: a page at / of the HTTP port shows models and figures")
      ->capture_default_str();
  c->add_option("--drain-delay", a->drain_delay, "after SIGTERM: seconds between 'not ready' and the first refusal")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  c->add_option("--drain-timeout,--exit-timeout-secs", a->drain_timeout,
                "after SIGTERM: seconds until the end at the latest")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  c->add_option("--log-verbose", o.log_level, "0 errors, 1 information, 2 each request")->capture_default_str();
  c->add_flag("--log-json", o.log_json, "log lines as JSON");
  c->callback([a, exit_code] {
    Status status = run(*a);
    *exit_code = status ? kDone : report(status.error());
  });
}

}  // namespace carnot::tool
