// SPDX-License-Identifier: Apache-2.0
// Sends spans to an OpenTelemetry collector: OTLP over HTTP, as JSON, in batches from a thread of its own. Nobody ever
// waits for it: what finds the queue full, or the collector away, is dropped and counted.
#pragma once
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace carnot::serve {

struct Span {
  std::string trace_id, span_id, parent_id, state, name;
  bool server = false;                // the request itself; else a part of it
  uint64_t start_ns = 0, end_ns = 0;  // since 1970
  std::vector<std::pair<std::string, std::string>> texts;
  std::vector<std::pair<std::string, int64_t>> numbers;
  std::string problem;  // not empty: the request failed
};

class OtlpExporter {
 public:
  // "http://host[:port][/path]", port 4318 and path /v1/traces by default. Throws carnot::Exception for anything else.
  explicit OtlpExporter(const std::string& endpoint);
  ~OtlpExporter();  // sends what there is, if that goes within a second
  OtlpExporter(const OtlpExporter&) = delete;
  OtlpExporter& operator=(const OtlpExporter&) = delete;

  void add(std::vector<Span> spans);  // of one request: all or none
  uint64_t exported() const;
  uint64_t dropped() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// The body of one request to a collector.
std::string otlp_json(const std::vector<Span>& spans);

}  // namespace carnot::serve
