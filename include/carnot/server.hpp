// SPDX-License-Identifier: Apache-2.0
// The model server: a repository of models behind the KServe v2 protocol (HTTP and gRPC, with Triton's extensions), or
// without any network inside another program. Link libcarnot_server.so.
//
//   carnot::Server server({.repository = "models", .http_port = 8000});
//   server.start();                       // opens the ports, loads the models
//   ...
//   server.stop(std::chrono::seconds(30));  // answers what was accepted, refuses the rest
//
// Embedded, with the same queues, batching and statistics:
//
//   carnot::Server server({.repository = "models"});
//   server.start();
//   auto answer = server.infer({.model = "ocr", .inputs = {{"x", carnot::tensor(pixels, {1, 3, 48, 320})}}}).get();
//
// Failures are thrown as carnot::Exception. Any thread may call any member.
#pragma once
#include <chrono>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "carnot/carnot.hpp"

namespace carnot {

struct ServerOptions {
  std::string repository;
  // Which models are loaded, and when: "none" all at the start; "poll" all, and the folder is looked at again and
  // again; "explicit" those of `load` ("*" = all), and clients may load and unload.
  std::string control = "none";
  std::vector<std::string> load = {};
  std::chrono::seconds poll_interval{15};
  // Makes an engine of a model file that is none (.onnx). Not set: such models are refused.
  std::function<Engine(const std::string& path)> build = {};

  int http_port = -1, grpc_port = -1, metrics_port = -1;  // -1: closed; 0: any free one
  std::string address = "0.0.0.0";
  int threads = 0;       // of a session that runs alone; 0: one per core
  int http_threads = 0;  // 0: one per core, four at most
  int run_threads = 0;   // models that run at the same time; 0: one per core, two at least

  size_t max_body = size_t{64} << 20;  // bytes of a request, before and after decompression
  size_t max_queue = 10000;            // requests that wait for one model, if its configuration says nothing
  size_t cache_bytes = size_t{64} << 20;  // answers kept for models with response_cache { enable: true }
  int max_connections = 4096;
  std::chrono::seconds read_timeout{30};   // for a request, from its first byte to its last
  std::chrono::seconds idle_timeout{300};  // between requests of a connection
  bool client_shared_memory = false;       // clients may have regions of this machine's shared memory read and written
  std::string shared_memory_prefix = "";   // what a region's key must begin with
  // TLS of the HTTP and gRPC ports, PEM files: certificate with chain, key, and (for clients that must show a
  // certificate) the authorities that sign those. Changed files are taken up while the server runs. The metrics port
  // stays plain.
  std::string tls_certificate = "", tls_key = "", tls_client_ca = "";
  // Files of bearer tokens, one a line, 16 characters at least; read again when they change. With `token_file` every
  // request but probes (health, readiness, metrics) needs one; with `admin_token_file` loading, unloading, shared
  // memory and settings need one of these, which are good for the rest, too.
  std::string token_file = "", admin_token_file = "";
  bool token_for_probes = false;
  std::chrono::milliseconds drain_delay{0};  // between "not ready" and the first refusal
  // A collector of OpenTelemetry, "http://host:4318": it gets the spans of one in `trace_rate` requests and of those
  // whose caller traces. Clients may change this (trace settings).
  std::string otlp_endpoint = "";
  uint32_t trace_rate = 1000;
  bool web_page = true;  // at / of the HTTP port
  int log_level = 1;     // 0 errors, 1 information, 2 and more: each request
  bool log_json = false;
};

struct InferInput {
  std::string name;
  TensorRef tensor;  // must live until the answer is there
};

struct InferCall {
  std::string model;
  int64_t version = -1;  // the newest
  std::string id = {};
  std::vector<InferInput> inputs;
  std::vector<std::string> outputs = {};  // empty: all
  uint64_t priority = 0, timeout_us = 0;
};

struct InferOutput {
  std::string name;
  carnot_dtype dtype;
  std::vector<int64_t> dims;
  std::vector<std::byte> data;
};

struct InferAnswer {
  std::string model;
  int64_t version = 0;
  std::vector<InferOutput> outputs;
};

// A version of a model in the repository, as POST /v2/repository/index lists it.
struct ModelState {
  std::string name;
  int64_t version = -1;  // -1: of the whole model, which came to no version
  std::string state;     // READY, UNAVAILABLE, LOADING, UNLOADING; "" if it has never been asked for
  std::string reason;    // why it is not ready
};

class CARNOT_EXPORT Server {
 public:
  explicit Server(ServerOptions options);
  ~Server();  // stop() without waiting
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Opens the ports, then loads the models. Returns when all have been tried; those that failed are logged and keep
  // ready() false.
  void start();
  bool ready() const;
  int http_port() const, grpc_port() const, metrics_port() const;

  std::future<InferAnswer> infer(const InferCall& call);
  // The same without a wait: `done` is called once, on any thread and perhaps before this returns, with the answer or
  // with what went wrong. It must not throw and not stop the server.
  void infer(const InferCall& call, std::function<void(InferAnswer answer, std::exception_ptr failure)> done);
  std::vector<ModelState> models() const;
  void load(const std::string& model);
  void unload(const std::string& model);
  // As GET /v2/models/stats answers.
  std::string statistics_json() const;

  // Not ready from now on; answers what has been accepted, closes connections, and returns. False if `bound` was too
  // short.
  bool stop(std::chrono::milliseconds bound);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace carnot
