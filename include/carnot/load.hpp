// SPDX-License-Identifier: Apache-2.0
// A load test of a server that speaks KServe v2 (HTTP or gRPC), Carnot's or another. Link libcarnot_server.so;
// `carnot load` is this on the command line.
//
//   carnot::LoadTest test({.url = "localhost:8000", .model = "ocr"});
//   const carnot::LoadResult r = test.measure(8);  // eight requests under way all the time
//   std::printf("%.0f infer/s, p99 %.0f us\n", r.throughput, r.p99_us);
//
// Closed loop: so many requests are under way at any time. Open loop: requests are due at times that do not depend on
// the answers, and their latency counts from the moment they were due, so a server that stalls is charged for all who
// would have come meanwhile. Failures to set up are thrown as carnot::Exception; requests that fail are counted.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "carnot/carnot.hpp"

namespace carnot {

struct LoadOptions {
  std::string url;  // [http://|grpc://]HOST:PORT
  std::string model;
  std::string version = "";
  bool grpc = false;             // also by grpc:// in the url
  bool json = false;             // HTTP: tensors as JSON instead of binary
  bool shared_memory = false;    // tensors in system shared memory
  size_t output_bytes = 102400;  // in shared memory, of an output whose size the metadata leaves open
  std::vector<std::pair<std::string, std::string>> headers = {};

  int64_t batch = 1;                                        // items of a request; models with a batch dim only
  std::map<std::string, std::vector<int64_t>> shapes = {};  // of inputs with open dims, without the batch dim
  std::string data = "random";  // "random", "zero", a JSON file, or a folder with a raw file for each input
  int samples = 1;              // different requests where data is random
  uint64_t seed = 1;
  int sequence_length = 20;  // requests of a sequence, for models that batch sequences

  bool open_loop = false;  // levels are requests a second instead of requests under way
  bool poisson = false;    // open loop: times between requests are exponential instead of equal
  int connections = 256;   // open loop: requests under way at most; those due meanwhile wait, and their wait counts
  int threads = 1;         // of this client

  size_t warmup_requests = 0;  // before each level, not measured
  std::chrono::milliseconds window{5000};
  size_t requests = 0;     // > 0: exactly so many instead of windows
  double stability = 0.1;  // stable: throughput and latency of three windows lie within this share of their mean
  int max_windows = 10;
  double percentile = 0;  // the latency that must be stable; 0: the average
  std::function<bool()> interrupted = {};
};

// What the server's statistics say of a model and the time of the measurement. Times are averages of a request, in us.
struct LoadServerSide {
  std::string model, version;
  uint64_t inferences = 0, executions = 0, requests = 0, cache_hits = 0, cache_misses = 0;
  double request_us = 0, queue_us = 0, input_us = 0, infer_us = 0, output_us = 0, cache_hit_us = 0, cache_miss_us = 0;
};

struct LoadResult {
  double level = 0;
  bool stable = false;
  double seconds = 0;
  uint64_t requests = 0, failed = 0, delayed = 0;  // delayed: sent more than a millisecond after they were due
  std::map<std::string, uint64_t> errors;
  double throughput = 0;  // items a second
  double average_us = 0, deviation_us = 0, p50_us = 0, p90_us = 0, p95_us = 0, p99_us = 0, p999_us = 0, max_us = 0;
  double chosen_us = 0;                             // LoadOptions::percentile
  double send_us = 0, wait_us = 0, receive_us = 0;  // averages; gRPC: all is wait
  std::vector<LoadServerSide> server;  // the model, then those it is composed of; empty: the server has no statistics
};

class CARNOT_EXPORT LoadTest {
 public:
  // Connects, reads metadata and configuration of the model, prepares the data.
  explicit LoadTest(LoadOptions options);
  ~LoadTest();
  LoadTest(const LoadTest&) = delete;
  LoadTest& operator=(const LoadTest&) = delete;

  LoadResult measure(double level);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace carnot
