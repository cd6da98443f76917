// SPDX-License-Identifier: Apache-2.0
#include "core/otlp.hpp"

#include <fmt/core.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <iterator>
#include <mutex>
#include <thread>

#include "carnot/carnot.hpp"
#include "core/log.hpp"
#include "core/proto_json.hpp"

namespace carnot::serve {
namespace {

constexpr size_t kMaxQueued = 8192;  // spans
constexpr size_t kMaxBatch = 1024;
constexpr auto kInterval = std::chrono::seconds(1);
constexpr auto kLastWords = std::chrono::seconds(1);
constexpr time_t kNetworkSeconds = 5;             // for each step of a transfer
constexpr auto kQuiet = std::chrono::minutes(1);  // between complaints

void attribute(std::string_view key, std::string_view type, std::string_view json, std::string* out) {
  if (out->back() != '[') *out += ',';
  *out += "{\"key\":";
  append_json_string(key, out);
  fmt::format_to(std::back_inserter(*out), ",\"value\":{{\"{}\":{}}}}}", type, json);
}

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(text, &out);
  return out;
}

}  // namespace

std::string otlp_json(const std::vector<Span>& spans) {
  std::string out = "{\"resourceSpans\":[{\"resource\":{\"attributes\":[";
  attribute("service.name", "stringValue", "\"carnot\"", &out);
  attribute("service.version", "stringValue", quoted(carnot_version()), &out);
  out += "]},\"scopeSpans\":[{\"scope\":{\"name\":\"carnot.serve\"},\"spans\":[";
  for (const Span& s : spans) {
    if (&s != &spans.front()) out += ',';
    fmt::format_to(std::back_inserter(out), "{{\"traceId\":\"{}\",\"spanId\":\"{}\"", s.trace_id, s.span_id);
    if (!s.parent_id.empty()) fmt::format_to(std::back_inserter(out), ",\"parentSpanId\":\"{}\"", s.parent_id);
    if (!s.state.empty()) out += ",\"traceState\":" + quoted(s.state);
    // Kinds are 1 internal, 2 server; 64-bit numbers are strings in this format.
    fmt::format_to(std::back_inserter(out),
                   ",\"name\":{},\"kind\":{},\"startTimeUnixNano\":\"{}\",\"endTimeUnixNano\":\"{}\",\"attributes\":[",
                   quoted(s.name), s.server ? 2 : 1, s.start_ns, s.end_ns);
    for (const auto& [key, value] : s.texts) attribute(key, "stringValue", quoted(value), &out);
    for (const auto& [key, value] : s.numbers) attribute(key, "intValue", fmt::format("\"{}\"", value), &out);
    out += "],\"status\":{";
    if (!s.problem.empty()) out += "\"code\":2,\"message\":" + quoted(s.problem);
    out += "}}";
  }
  return out + "]}]}]}";
}

// Shared with the thread, which is left behind if a name server or a collector holds it at the end.
struct OtlpExporter::State {
  std::string host, port = "4318", path = "/v1/traces";
  std::mutex mutex;
  std::condition_variable wake, ended;
  std::deque<Span> queue;
  bool stop = false, done = false;
  std::atomic<uint64_t> exported{0}, dropped{0};
  std::chrono::steady_clock::time_point complained;

  // "" if the collector took it, else why not.
  std::string post(const std::string& body) const {
    addrinfo hints{}, *all = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &all)) return ::gai_strerror(error);
    std::string problem = "no address";
    int fd = -1;
    for (const addrinfo* a = all; a && fd < 0; a = a->ai_next) {
      fd = ::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
      if (fd < 0) continue;
      const timeval limit{kNetworkSeconds, 0};  // of connect, too
      ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
      ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      if (::connect(fd, a->ai_addr, a->ai_addrlen) == 0) break;
      problem = std::error_code(errno, std::generic_category()).message();
      ::close(fd);
      fd = -1;
    }
    ::freeaddrinfo(all);
    if (fd < 0) return problem;
    problem = exchange(fd, body);
    ::close(fd);
    return problem;
  }

  std::string exchange(int fd, const std::string& body) const {
    const std::string request = fmt::format(
        "POST {} HTTP/1.1\r\nHost: {}:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: "
        "close\r\n\r\n{}",
        path, host, port, body.size(), body);
    for (size_t sent = 0; sent < request.size();) {
      const ssize_t n = ::send(fd, request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return std::error_code(errno, std::generic_category()).message();
      sent += static_cast<size_t>(n);
    }
    std::string answer;
    char part[512];
    while (answer.size() < 13) {  // "HTTP/1.1 200 "
      const ssize_t n = ::recv(fd, part, sizeof part, 0);
      if (n <= 0) return "no answer";
      answer.append(part, static_cast<size_t>(n));
    }
    return answer.starts_with("HTTP/1.") && answer[9] == '2' ? "" : "answered " + answer.substr(0, 12);
  }

  void send(std::vector<Span> batch) {
    const std::string problem = post(otlp_json(batch));
    if (problem.empty()) {
      exported += batch.size();
      return;
    }
    dropped += batch.size();
    const auto now = std::chrono::steady_clock::now();
    if (complained != std::chrono::steady_clock::time_point() && now - complained < kQuiet) return;
    complained = now;
    log::warning("traces: the collector {}:{}: {}; {} spans are lost so far", host, port, problem, dropped.load());
  }

  void work() {
    std::unique_lock lock(mutex);
    while (true) {
      wake.wait_for(lock, kInterval, [this] { return stop || queue.size() >= kMaxBatch; });
      while (!queue.empty()) {
        const auto end = queue.begin() + static_cast<std::ptrdiff_t>(std::min(queue.size(), kMaxBatch));
        std::vector<Span> batch(std::make_move_iterator(queue.begin()), std::make_move_iterator(end));
        queue.erase(queue.begin(), end);
        lock.unlock();
        send(std::move(batch));
        lock.lock();
      }
      if (stop) break;
    }
    done = true;
    ended.notify_all();
  }
};

OtlpExporter::OtlpExporter(const std::string& endpoint) : state_(std::make_shared<State>()) {
  constexpr std::string_view kScheme = "http://";
  State& s = *state_;
  std::string rest = endpoint.starts_with(kScheme) ? endpoint.substr(kScheme.size()) : "";
  if (const size_t slash = rest.find('/'); slash != rest.npos) {
    if (slash + 1 < rest.size()) s.path = rest.substr(slash);
    rest.resize(slash);
  }
  const size_t colon = rest.rfind(':');
  const bool has_port = colon != rest.npos && rest.find(']', colon) == rest.npos;
  s.host = rest.substr(0, has_port ? colon : rest.npos);
  if (has_port) s.port = rest.substr(colon + 1);
  if (s.host.size() > 2 && s.host.front() == '[' && s.host.back() == ']') s.host = s.host.substr(1, s.host.size() - 2);
  const bool good_port = !s.port.empty() && s.port.size() < 6 && s.port.find_first_not_of("0123456789") == s.port.npos;
  if (s.host.empty() || !good_port || endpoint.find_first_of(" \r\n\t") != endpoint.npos)
    throw Exception(CARNOT_INVALID_ARGUMENT,
                    fmt::format("'{}' is no address of a collector: use http://HOST[:PORT][/PATH]", endpoint));
  std::thread([state = state_] { state->work(); }).detach();
}

OtlpExporter::~OtlpExporter() {
  std::unique_lock lock(state_->mutex);
  state_->stop = true;
  state_->wake.notify_all();
  state_->ended.wait_for(lock, kLastWords, [this] { return state_->done; });
}

void OtlpExporter::add(std::vector<Span> spans) {
  bool full = false;
  {
    std::lock_guard lock(state_->mutex);
    if (state_->queue.size() + spans.size() > kMaxQueued) {
      state_->dropped += spans.size();
      return;
    }
    state_->queue.insert(state_->queue.end(), std::make_move_iterator(spans.begin()),
                         std::make_move_iterator(spans.end()));
    full = state_->queue.size() >= kMaxBatch;
  }
  if (full) state_->wake.notify_one();
}

uint64_t OtlpExporter::exported() const { return state_->exported; }
uint64_t OtlpExporter::dropped() const { return state_->dropped; }

}  // namespace carnot::serve
