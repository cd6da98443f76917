// SPDX-License-Identifier: Apache-2.0
// A connection for each slot and one thread that serves them all by epoll: a thread for each connection would take
// processor time from the server that is being measured.
#include <sys/epoll.h>
#include <unistd.h>

#include "core/proto_json.hpp"
#include "http/json_tensor.hpp"
#include "load/control.hpp"
#include "load/transport.hpp"

namespace carnot::serve::load {
namespace {

class HttpTransport final : public Transport {
 public:
  explicit HttpTransport(const TransportOptions& options) : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    for (size_t i = 0; i < options.slots; ++i) slots_.push_back(std::make_unique<Slot>(options.address));
  }
  ~HttpTransport() override { close(epoll_); }

  MaybeFault open(size_t slot) {
    Slot& s = *slots_[slot];
    if (auto refused = s.connection.open()) return refused;
    epoll_event event{.events = EPOLLIN, .data = {.u64 = slot}};
    epoll_ctl(epoll_, EPOLL_CTL_ADD, s.connection.fd(), &event);
    return std::nullopt;
  }

  void send(size_t slot, size_t sample, const Place& place) override {
    Slot& s = *slots_[slot];
    s.moments = {};
    s.moments.start = Clock::now();
    s.busy = true;
    if (!s.connection.is_open())
      if (auto refused = open(slot)) return finish(slot, refused->text);
    if (place.id.empty() && s.sample == sample) {
      s.connection.begin(s.parts);
    } else {
      compose(slot, sample, place);
      s.sample = place.id.empty() ? sample : SIZE_MAX;
      s.connection.begin(s.parts);
    }
    write(slot);
  }

  void wait(Clock::time_point until, std::vector<Outcome>* out) override {
    while (finished_.empty()) {
      epoll_event events[64];
      timespec left{};
      const timespec* timeout = nullptr;
      if (until != Clock::time_point::max()) {
        const auto ns = std::max<int64_t>(0, (until - Clock::now()).count());
        left = {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
        timeout = &left;
      }
      const int n = epoll_pwait2(epoll_, events, 64, timeout, nullptr);
      for (int i = 0; i < n; ++i) {
        const size_t slot = events[i].data.u64;
        if (events[i].events & EPOLLOUT) write(slot);
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read(slot);
      }
      if (n == 0) break;
    }
    for (Outcome& o : finished_) out->push_back(std::move(o));
    finished_.clear();
  }

 private:
  struct Slot {
    explicit Slot(const Address& address) : connection(address) {}
    HttpConnection connection;
    std::string head, tail;  // of the request; tail: JSON tensors
    std::vector<iovec> parts;
    size_t sample = SIZE_MAX;  // that head and parts are of
    Moments moments;
    bool busy = false, writing = false;
  };

  void finish(size_t slot, std::string error) {
    Slot& s = *slots_[slot];
    s.moments.end = Clock::now();
    if (s.moments.sent == Clock::time_point()) s.moments.sent = s.moments.end;
    if (s.moments.answered == Clock::time_point()) s.moments.answered = s.moments.end;
    s.busy = s.writing = false;
    finished_.push_back({slot, s.moments, std::move(error)});
  }

  void watch(size_t slot, uint32_t events) {
    epoll_event event{.events = events, .data = {.u64 = slot}};
    epoll_ctl(epoll_, EPOLL_CTL_MOD, slots_[slot]->connection.fd(), &event);
  }

  void write(size_t slot) {
    Slot& s = *slots_[slot];
    auto step = s.connection.write();
    if (!step) {
      s.connection.close();
      return finish(slot, step.fault().text);
    }
    const bool again = *step == HttpConnection::Step::kAgain;
    if (again != s.writing) watch(slot, again ? EPOLLIN | EPOLLOUT : EPOLLIN);
    s.writing = again;
    if (!again) s.moments.sent = Clock::now();
  }

  void read(size_t slot) {
    Slot& s = *slots_[slot];
    if (!s.busy) return s.connection.close();  // the server ended an idle connection; the next request opens another
    if (s.moments.answered == Clock::time_point()) s.moments.answered = Clock::now();
    auto step = s.connection.read();
    if (!step) {
      s.connection.close();
      return finish(slot, step.fault().text);
    }
    if (*step == HttpConnection::Step::kAgain) return;
    // An answer before the request was out: the rest of the request would be taken for the next one.
    if (s.writing) s.connection.close();
    const int status = s.connection.status();
    finish(slot, status == 200 ? "" : fmt::format("{} {}", status, s.connection.body().substr(0, 200)));
  }

  // The request's bytes: head with JSON, then the tensors where they lie.
  void compose(size_t slot, size_t sample, const Place& place) {
    Slot& s = *slots_[slot];
    const LoadOptions& load = *options_.load;
    const Regions* regions = options_.regions;
    const Sample& tensors = options_.data->samples[sample];
    std::string json = "{";
    const bool binary = !load.json && !regions;
    if (!place.id.empty() || binary) {
      json += "\"parameters\":{";
      if (binary) json += "\"binary_data_output\":true";
      if (!place.id.empty()) {
        json += fmt::format("{}\"sequence_id\":{},\"sequence_start\":{},\"sequence_end\":{}", binary ? "," : "",
                            place.id, place.first, place.last);
      }
      json += "},";
    }
    json += "\"inputs\":[";
    size_t binary_bytes = 0;
    for (size_t i = 0; i < tensors.size(); ++i) {
      const Tensor& t = tensors[i];
      json += i ? ",{\"name\":" : "{\"name\":";
      append_json_string(t.name, &json);
      json += fmt::format(",\"datatype\":\"{}\",\"shape\":{}", t.type->name, shape_text(t.shape));
      if (regions) {
        json += fmt::format(
            ",\"parameters\":{{\"shared_memory_region\":\"{}\",\"shared_memory_offset\":{},"
            "\"shared_memory_byte_size\":{}}}}}",
            regions->input, regions->input_offsets[sample][i], t.bytes.size());
      } else if (load.json) {
        json += ",\"data\":";
        append_tensor_json(*t.type, reinterpret_cast<const std::byte*>(t.bytes.data()), t.bytes.size(), &json);
        json += '}';
      } else {
        json += fmt::format(",\"parameters\":{{\"binary_data_size\":{}}}}}", t.bytes.size());
        binary_bytes += t.bytes.size();
      }
    }
    json += ']';
    if (regions) {
      json += ",\"outputs\":[";
      for (size_t o = 0; o < options_.data->outputs.size(); ++o) {
        const OutputSpec& out = options_.data->outputs[o];
        json += o ? ",{\"name\":" : "{\"name\":";
        append_json_string(out.name, &json);
        json += fmt::format(
            ",\"parameters\":{{\"shared_memory_region\":\"{}{}\",\"shared_memory_offset\":{},"
            "\"shared_memory_byte_size\":{}}}}}",
            regions->output_prefix, options_.first_slot + slot, regions->output_offsets[o], out.bytes);
      }
      json += ']';
    }
    json += '}';
    s.head = fmt::format("POST {}/infer HTTP/1.1\r\nHost: {}:{}\r\n{}Content-Length: {}\r\n{}\r\n", model_path(load),
                         options_.address.host, options_.address.port,
                         binary ? fmt::format("Inference-Header-Content-Length: {}\r\n", json.size()) : "",
                         json.size() + binary_bytes, header_lines(load));
    s.head += json;
    s.parts = {{s.head.data(), s.head.size()}};
    if (binary)
      for (const Tensor& t : tensors)
        if (!t.bytes.empty()) s.parts.push_back({const_cast<char*>(t.bytes.data()), t.bytes.size()});
  }

  const TransportOptions options_;
  const int epoll_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::vector<Outcome> finished_;
};

}  // namespace

Or<std::unique_ptr<Transport>> http_transport(const TransportOptions& options) {
  auto transport = std::make_unique<HttpTransport>(options);
  // The first ones now, so that the first requests do not pay for it; the others as they are needed.
  for (size_t i = 0; i < std::min<size_t>(options.slots, 64); ++i)
    if (auto refused = transport->open(i)) return *refused;
  return std::unique_ptr<Transport>(std::move(transport));
}

}  // namespace carnot::serve::load
