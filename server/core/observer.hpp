// SPDX-License-Identifier: Apache-2.0
// What logs and traces say of inference requests. Protocols call begin() when a request has arrived and end() before
// they answer it; without verbose logs and without a trace both cost a comparison or two.
#pragma once
#include "core/otlp.hpp"
#include "core/request.hpp"

namespace carnot::serve {

class Observer {
 public:
  // `otlp_endpoint`: "" = spans are not exported.
  Observer(const std::string& otlp_endpoint, uint32_t trace_rate);

  // `request.model` is known already. The headers are the caller's, "" if there are none.
  void begin(Job& job, std::string_view traceparent, std::string_view tracestate);
  // `protocol`: "http", "grpc", "grpc-stream" or "embedded".
  void end(const Job& job, const InferReply& reply, std::string_view protocol);

  TraceSettings settings;
  const OtlpExporter* exporter() const { return exporter_.get(); }

 private:
  void log(const Job& job, const InferReply& reply, std::string_view protocol, Clock::time_point now) const;
  void trace(const Job& job, const InferReply& reply, std::string_view protocol, Clock::time_point now);

  std::unique_ptr<OtlpExporter> exporter_;
};

}  // namespace carnot::serve
