// SPDX-License-Identifier: Apache-2.0
#include "core/trace.hpp"

#include <algorithm>
#include <charconv>
#include <random>

namespace carnot::serve {
namespace {

constexpr size_t kMaxState = 512;  // characters of tracestate that must be passed on; longer ones may be dropped

bool hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}
bool zero(std::string_view text) { return text.find_first_not_of('0') == text.npos; }

Or<int64_t> number(const std::string& name, const std::string& text, int64_t least) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least)
    return invalid("trace setting '{}' must be a whole number, {} at least; got '{}'", name, least, text);
  return value;
}

}  // namespace

std::string random_hex(size_t digits) {
  thread_local std::mt19937_64 random{std::random_device()()};
  std::string text;
  while (text.size() < digits) text += fmt::format("{:016x}", random() | 1);  // never all zero
  text.resize(digits);
  return text;
}

std::string TraceContext::traceparent() const {
  return fmt::format("00-{}-{}-{}", trace_id, span_id, sampled ? "01" : "00");
}

std::optional<TraceContext> parse_traceparent(std::string_view traceparent, std::string_view tracestate) {
  constexpr size_t kSize = 55;  // 00-<32>-<16>-<2>
  if (traceparent.size() < kSize || traceparent[2] != '-' || traceparent[35] != '-' || traceparent[52] != '-')
    return std::nullopt;
  const auto version = traceparent.substr(0, 2), trace = traceparent.substr(3, 32), parent = traceparent.substr(36, 16),
             flags = traceparent.substr(53, 2);
  if (!hex(version) || !hex(trace) || !hex(parent) || !hex(flags) || version == "ff" || zero(trace) || zero(parent))
    return std::nullopt;
  // Later versions may say more behind it.
  if (traceparent.size() > kSize && (version == "00" || traceparent[kSize] != '-')) return std::nullopt;
  TraceContext context{.trace_id = std::string(trace),
                       .parent_id = std::string(parent),
                       .span_id = random_hex(16),
                       .sampled = (flags[1] <= '9' ? flags[1] - '0' : flags[1] - 'a' + 10) % 2 == 1,
                       .from_caller = true};
  if (tracestate.size() <= kMaxState) context.state = tracestate;
  return context;
}

TraceSettings::TraceSettings(bool can_export, uint32_t rate)
    : can_export_(can_export), defaults_{.on = can_export, .rate = rate, .count = -1}, server_(defaults_) {}

template <typename T>
T TraceSettings::effective(const Values& own, std::optional<T> Values::*member) const {
  return (own.*member) ? *(own.*member) : *(server_.*member);
}

// An empty list of values brings back what is above: the server's for a model, the start's for the server.
MaybeFault TraceSettings::apply(const std::string& name, const inference::TraceSettingRequest::SettingValue& value,
                                Values* to, bool server) const {
  if (name == "trace_file")
    return fault(Kind::kUnsupported, "trace file location can not be updated through network protocol");
  if (name == "trace_mode") return fault(Kind::kUnsupported, "trace mode can not be updated through network protocol");
  if (name == "trace_level") {
    if (value.value().empty()) to->on = server ? defaults_.on : std::nullopt;
    for (const std::string& level : value.value()) {
      if (level != "OFF" && level != "TIMESTAMPS" && level != "TENSORS")
        return invalid("unknown trace level '{}'", level);
      if (level == "TENSORS") return fault(Kind::kUnsupported, "trace level TENSORS is not supported: use TIMESTAMPS");
      if (level == "TIMESTAMPS" && !can_export_)
        return fault(Kind::kUnsupported, "this server traces nothing: start it with --otlp-endpoint URL");
      to->on = level == "TIMESTAMPS";
    }
    return std::nullopt;
  }
  if (name != "trace_rate" && name != "trace_count" && name != "log_frequency")
    return invalid("unknown trace setting '{}'", name);
  if (value.value_size() > 1) return invalid("trace setting '{}' takes one value", name);
  if (name == "log_frequency") {
    auto frequency = value.value().empty() ? Or<int64_t>(0) : number(name, value.value(0), 0);
    if (!frequency) return frequency.fault();
    return *frequency == 0 ? MaybeFault()
                           : fault(Kind::kUnsupported, "traces are not written to files: log_frequency stays 0");
  }
  auto& slot = name == "trace_rate" ? to->rate : to->count;
  if (value.value().empty()) {
    slot = !server ? std::nullopt : name == "trace_rate" ? defaults_.rate : defaults_.count;
    return std::nullopt;
  }
  auto given = number(name, value.value(0), name == "trace_rate" ? 1 : -1);
  if (!given) return given.fault();
  slot = *given;
  return std::nullopt;
}

Or<inference::TraceSettingResponse> TraceSettings::change(const inference::TraceSettingRequest& request) {
  std::lock_guard lock(mutex_);
  const std::string& model = request.model_name();
  const auto own = models_.find(model);
  Values values = model.empty() ? server_ : own == models_.end() ? Values() : own->second;
  for (const auto& [name, value] : request.settings())
    if (auto refused = apply(name, value, &values, model.empty())) return *refused;
  if (!request.settings().empty()) (model.empty() ? server_ : models_[model]) = values;
  inference::TraceSettingResponse out;
  auto& map = *out.mutable_settings();
  map["trace_level"].add_value(effective(values, &Values::on) ? "TIMESTAMPS" : "OFF");
  map["trace_rate"].add_value(std::to_string(effective(values, &Values::rate)));
  map["trace_count"].add_value(std::to_string(effective(values, &Values::count)));
  map["log_frequency"].add_value("0");
  map["trace_file"].add_value("");
  map["trace_mode"].add_value(can_export_ ? "opentelemetry" : "triton");
  return out;
}

bool TraceSettings::sample(const std::string& model, const TraceContext* caller) {
  if (!can_export_) return false;
  std::lock_guard lock(mutex_);
  const auto own = models_.find(model);
  Values& values = own == models_.end() ? server_ : own->second;
  if (!effective(values, &Values::on)) return false;
  if (caller) return caller->sampled;
  if (values.seen++ % static_cast<uint64_t>(effective(values, &Values::rate)) != 0) return false;
  auto& count = values.count ? values.count : server_.count;
  if (*count == 0) return false;
  if (*count > 0) --*count;
  return true;
}

}  // namespace carnot::serve
