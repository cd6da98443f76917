// SPDX-License-Identifier: Apache-2.0
// W3C trace context, and which requests are traced.
#pragma once
#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "core/fault.hpp"
#include "kserve.pb.h"

namespace carnot::serve {

// Where a request stands in a trace. Ids are lower-case hexadecimal.
struct TraceContext {
  std::string trace_id;   // 32 digits
  std::string parent_id;  // 16 digits: the caller's span; "" if the trace begins here
  std::string span_id;    // 16 digits: ours
  std::string state;      // tracestate, as it came
  bool sampled = false;   // its spans are exported
  bool from_caller = false;

  // The header by which the caller's next hop, or the caller itself, knows our span.
  std::string traceparent() const;
};

std::string random_hex(size_t digits);

// Of a caller's headers; nothing if there are none or they are malformed (a trace then begins here). `sampled` is the
// caller's wish.
std::optional<TraceContext> parse_traceparent(std::string_view traceparent, std::string_view tracestate);

// Triton's trace settings: of the server, and of single models where they differ.
class TraceSettings {
 public:
  // Without somewhere to send them, spans are never recorded and the level stays OFF.
  TraceSettings(bool can_export, uint32_t rate);

  Or<inference::TraceSettingResponse> change(const inference::TraceSettingRequest& request);
  // Takes a request in: whether its spans are to be exported. One in `trace_rate` of those that come without a context,
  // all that come with one whose sampled flag is set.
  bool sample(const std::string& model, const TraceContext* caller);

 private:
  struct Values {
    std::optional<bool> on;
    std::optional<int64_t> rate, count;  // count: traces left, -1 = no end
    uint64_t seen = 0;
  };
  template <typename T>
  T effective(const Values& own, std::optional<T> Values::*member) const;
  MaybeFault apply(const std::string& name, const inference::TraceSettingRequest::SettingValue& value, Values* to,
                   bool server) const;

  const bool can_export_;
  const Values defaults_;
  mutable std::mutex mutex_;
  Values server_;
  std::map<std::string, Values> models_;
};

}  // namespace carnot::serve
