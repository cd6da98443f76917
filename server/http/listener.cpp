// SPDX-License-Identifier: Apache-2.0
#include "http/listener.hpp"

#include <fmt/core.h>
#include <poll.h>

#include <array>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <optional>
#include <thread>
#include <unordered_set>
#include <vector>

namespace carnot::serve {
namespace {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
namespace http = boost::beast::http;
using tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;
using boost::system::error_code;

constexpr size_t kHeaderLimit = 32 << 10;
constexpr size_t kReadSize = 16 << 10;
constexpr auto kHandshakeTimeout = std::chrono::seconds(10);
constexpr auto kLinger = std::chrono::seconds(2);  // for a client that still sends when its answer is out
constexpr unsigned char kTlsHandshake = 0x16;      // the first byte of a TLS client

std::string_view reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 431:
      return "Request Header Fields Too Large";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    default:
      return "Internal Server Error";
  }
}

std::string error_body(std::string_view text) { return fmt::format("{{\"error\":\"{}\"}}", text); }

class Connection;

// One thread and what it owns. Connections leave the set as the context drops them, so it is declared first.
struct Worker {
  std::unordered_set<Connection*> connections;
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard{context.get_executor()};
  asio::steady_timer tick{context};
  std::thread thread;
};

struct Shared {
  HttpLimits limits;
  HttpHandler handler;
  std::shared_ptr<TlsFiles> tls;  // null: plain TCP
  std::atomic<int> connections{0};
  std::atomic<bool> draining{false};
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(tcp::socket socket, Worker& worker, Shared& shared)
      : socket_(std::move(socket)), worker_(worker), shared_(shared) {
    ++shared_.connections;
    worker_.connections.insert(this);
  }
  ~Connection() {
    worker_.connections.erase(this);
    --shared_.connections;
  }

  void start() {
    error_code ignored;
    // Nagle's algorithm would hold the second of two small writes back until the first is acknowledged.
    socket_.set_option(tcp::no_delay(true), ignored);
    socket_.non_blocking(true, ignored);
    if (!shared_.tls) return next_request();
    state_ = State::kHandshake;
    deadline_ = Clock::now() + std::min<Clock::duration>(kHandshakeTimeout, shared_.limits.read_timeout);
    socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](error_code error) {
      if (self->state_ == State::kHandshake) error ? self->close() : self->shake_hands();
    });
  }
  // Several times a second: ends what takes too long.
  void check(Clock::time_point now) {
    if (state_ == State::kRunning && tls_ && hung_up()) gone_ = true;
    if (now < deadline_) return;
    // A request that has come while this process had no processor is not idleness: it is read next.
    char byte;
    if (state_ == State::kHeader && in_.size() == 0 &&
        ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
      return;
    if (state_ == State::kBody || (state_ == State::kHeader && in_.size() > 0))
      refuse(408, "the request took too long to arrive");
    else
      close();
  }
  void drain() {
    if (state_ == State::kHandshake || (state_ == State::kHeader && in_.size() == 0)) close();
  }
  void reply(HttpReply reply);
  bool gone() const { return gone_; }
  asio::io_context& context() { return worker_.context; }

 private:
  enum class State { kHandshake, kHeader, kBody, kRunning, kWriting, kClosed };
  using Parser = http::request_parser<http::buffer_body>;

  void shake_hands() {
    unsigned char first = 0;
    if (::recv(socket_.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) return close();
    if (first != kTlsHandshake) return refuse(400, "this port takes TLS only: use https://");
    tls_secrets_ = shared_.tls->current();
    tls_.emplace(socket_, *tls_secrets_->context);
    tls_->async_handshake(ssl::stream_base::server, [self = shared_from_this()](error_code error) {
      if (self->state_ != State::kHandshake) return;
      // A client without a certificate that we take gets TLS's alert and no answer.
      error ? self->close() : self->next_request();
    });
  }

  template <typename Buffers, typename Handler>
  void read_some(const Buffers& buffers, Handler handler) {
    if (tls_)
      tls_->async_read_some(buffers, std::move(handler));
    else
      socket_.async_read_some(buffers, std::move(handler));
  }

  template <typename Buffers, typename Handler>
  void write_all(const Buffers& buffers, Handler handler) {
    if (tls_)
      asio::async_write(*tls_, buffers, std::move(handler));
    else
      asio::async_write(socket_, buffers, std::move(handler));
  }

  void next_request() {
    state_ = State::kHeader;
    parser_.emplace();
    parser_->header_limit(kHeaderLimit);
    parser_->body_limit(shared_.limits.max_body);
    deadline_ = Clock::now() + (in_.size() ? shared_.limits.read_timeout : shared_.limits.idle_timeout);
    if (in_.size() > 0) return parse_header();
    if (shared_.draining) return close();
    read_header();
  }

  void read_header() {
    read_some(in_.prepare(kReadSize), [self = shared_from_this()](error_code error, size_t n) {
      if (self->state_ != State::kHeader) return;
      if (error) return self->close();
      if (self->in_.size() == 0) self->deadline_ = Clock::now() + self->shared_.limits.read_timeout;
      self->in_.commit(n);
      self->parse_header();
    });
  }

  void parse_header() {
    error_code error;
    const size_t used = parser_->put(in_.data(), error);
    in_.consume(used);
    if (error == http::error::need_more) {
      if (in_.size() >= kHeaderLimit) return refuse(431, "the request's header is too long");
      return read_header();
    }
    if (error == http::error::body_limit)
      return refuse(413, fmt::format("the body is larger than {} bytes, the limit of this server (--max-body)",
                                     shared_.limits.max_body));
    if (error == http::error::header_limit) return refuse(431, "the request's header is too long");
    if (error) return refuse(400, fmt::format("this is no HTTP/1.1 request: {}", error.message()));
    if (!parser_->is_header_done()) return read_header();
    header_done();
  }

  void header_done() {
    auto& m = parser_->get();
    request_ = {};
    request_.method = std::string(m.method_string());
    request_.target = std::string(m.target());
    request_.content_encoding = std::string(m[http::field::content_encoding]);
    request_.accept_encoding = std::string(m[http::field::accept_encoding]);
    request_.authorization = std::string(m[http::field::authorization]);
    request_.traceparent = std::string(m["traceparent"]);
    if (!request_.traceparent.empty()) request_.tracestate = std::string(m["tracestate"]);
    if (const auto it = m.find("Inference-Header-Content-Length"); it != m.end()) {
      request_.has_inference_length = true;
      request_.inference_length = std::string(it->value());
    }
    keep_alive_ = m.keep_alive();
    head_ = m.method() == http::verb::head;
    state_ = State::kBody;
    if (parser_->chunked()) {
      request_.body = Buffer(kReadSize);
      filled_ = 0;
      return with_continue(&Connection::parse_chunks);
    }
    const auto length = parser_->content_length();
    if (!length || *length == 0) return run();
    size_t text = 0;
    if (request_.has_inference_length) text = std::strtoul(request_.inference_length.c_str(), nullptr, 10);
    request_.body = Buffer(*length, request_.content_encoding.empty() ? text : 0);
    filled_ = std::min<size_t>(in_.size(), *length);
    std::memcpy(request_.body.data(), in_.data().data(), filled_);
    in_.consume(filled_);
    if (filled_ == *length) return run();
    with_continue(&Connection::read_body);
  }

  // curl waits for this line before it sends a large body.
  void with_continue(void (Connection::*next)()) {
    if (!boost::beast::iequals(parser_->get()[http::field::expect], "100-continue") || filled_ > 0)
      return (this->*next)();
    static constexpr std::string_view kLine = "HTTP/1.1 100 Continue\r\n\r\n";
    write_all(asio::buffer(kLine), [self = shared_from_this(), next](error_code error, size_t) {
      if (self->state_ != State::kBody) return;
      if (error) return self->close();
      (self.get()->*next)();
    });
  }

  void read_body() {
    // Past the parser: large bodies go from the socket into their final place.
    read_some(asio::buffer(request_.body.data() + filled_, request_.body.size() - filled_),
              [self = shared_from_this()](error_code error, size_t n) {
                if (self->state_ != State::kBody) return;
                if (error) return self->close();
                self->filled_ += n;
                if (self->filled_ == self->request_.body.size()) return self->run();
                self->read_body();
              });
  }

  void parse_chunks() {
    while (true) {
      if (filled_ == request_.body.size()) {
        if (filled_ >= shared_.limits.max_body)
          return refuse(413, fmt::format("the body is larger than {} bytes, the limit of this server (--max-body)",
                                         shared_.limits.max_body));
        Buffer larger(std::min(filled_ * 2, shared_.limits.max_body));
        std::memcpy(larger.data(), request_.body.data(), filled_);
        request_.body = std::move(larger);
      }
      auto& body = parser_->get().body();
      body.data = request_.body.data() + filled_;
      body.size = request_.body.size() - filled_;
      body.more = true;
      const size_t room = body.size;
      error_code error;
      const size_t used = parser_->put(in_.data(), error);
      in_.consume(used);
      filled_ += room - body.size;
      if (parser_->is_done()) break;
      if (error == http::error::body_limit)
        return refuse(413, fmt::format("the body is larger than {} bytes, the limit of this server (--max-body)",
                                       shared_.limits.max_body));
      if (error && error != http::error::need_more && error != http::error::need_buffer)
        return refuse(400, fmt::format("this is no HTTP/1.1 request: {}", error.message()));
      if (error == http::error::need_buffer) continue;
      if (in_.size() > kHeaderLimit) return refuse(400, "a chunk's header is too long");
      if (used == 0 || in_.size() == 0) return read_chunks();
    }
    request_.body.shrink(filled_);
    run();
  }

  void read_chunks() {
    read_some(in_.prepare(kReadSize), [self = shared_from_this()](error_code error, size_t n) {
      if (self->state_ != State::kBody) return;
      if (error) return self->close();
      self->in_.commit(n);
      self->parse_chunks();
    });
  }

  void run();

  // While a model works: a client that hangs up lets its request be dropped from the queue.
  void watch() {
    socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](error_code error) {
      if (self->state_ != State::kRunning || error) return;
      if (self->hung_up()) self->gone_ = true;
    });
  }

  bool hung_up() {
    if (tls_) {
      // Behind the end of TLS's own stream there may be bytes that nobody reads.
      pollfd what{socket_.native_handle(), POLLRDHUP, 0};
      return ::poll(&what, 1, 0) > 0;
    }
    char byte;
    const ssize_t n = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN);
  }

  void refuse(int status, std::string_view text) {
    keep_alive_ = false;
    write({.status = status, .body = Buffer::of(error_body(text)), .close = true});
  }

  void write(HttpReply reply) {
    state_ = State::kWriting;
    deadline_ = Clock::now() + shared_.limits.read_timeout;
    keep_alive_ = keep_alive_ && !reply.close && !shared_.draining;
    out_ = std::move(reply);
    header_ = fmt::format("HTTP/1.1 {} {}\r\n", out_.status, reason(out_.status));
    if (!out_.content_type.empty())
      fmt::format_to(std::back_inserter(header_), "Content-Type: {}\r\n", out_.content_type);
    header_ += out_.headers;
    fmt::format_to(std::back_inserter(header_), "Content-Length: {}\r\n{}\r\n", out_.body.size(),
                   keep_alive_ ? "" : "Connection: close\r\n");
    size_t body = head_ ? 0 : out_.body.size();
    if (tls_ && body > 0 && body <= kReadSize) {  // one record instead of two
      header_.append(out_.body.data(), body);
      body = 0;
    }
    const std::array<asio::const_buffer, 2> parts = {asio::buffer(header_),
                                                     asio::buffer(body ? out_.body.data() : nullptr, body)};
    const auto after = [self = shared_from_this()](error_code failed, size_t) {
      if (self->state_ != State::kWriting) return;
      if (failed) return self->close();
      self->written();
    };
    if (tls_) return write_all(parts, after);
    // Header and body in one call, now: the socket's buffer nearly always has room.
    error_code error;
    const size_t total = asio::buffer_size(parts);
    size_t sent = socket_.write_some(parts, error);
    if (error && error != asio::error::would_block) return close();
    if (error) sent = 0;
    if (sent == total) return written();
    std::vector<asio::const_buffer> rest;
    for (asio::const_buffer part : parts) {
      const size_t skip = std::min(sent, part.size());
      sent -= skip;
      if (part.size() > skip) rest.push_back(part + skip);
    }
    write_all(rest, after);
  }

  void written() {
    out_ = {};
    if (!keep_alive_) return linger();
    if (in_.size() == 0) return next_request();
    // Requests that were sent ahead: through the queue, so that many of them do not nest.
    state_ = State::kHeader;
    asio::post(worker_.context, [self = shared_from_this()] {
      if (self->state_ == State::kHeader) self->next_request();
    });
  }

  // Closing with unread input would reset the connection and lose the answer on its way.
  void linger() {
    state_ = State::kClosed;
    deadline_ = Clock::now() + kLinger;
    if (!tls_) return end_stream();
    // First the end of TLS's stream; what comes then is dropped unread.
    tls_->async_shutdown([self = shared_from_this()](error_code) {
      if (self->socket_.is_open()) self->end_stream();
    });
  }
  void end_stream() {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    drop_input(0);
  }
  void drop_input(size_t dropped) {
    deadline_ = Clock::now() + kLinger;
    socket_.async_read_some(in_.prepare(kReadSize), [self = shared_from_this(), dropped](error_code error, size_t n) {
      if (error || dropped + n > (size_t{1} << 20) || !self->socket_.is_open()) return self->close();
      self->drop_input(dropped + n);
    });
  }

  void close() {
    state_ = State::kClosed;
    gone_ = true;
    deadline_ = Clock::time_point::max();
    error_code ignored;
    socket_.close(ignored);
  }

  tcp::socket socket_;
  std::shared_ptr<const TlsSecrets> tls_secrets_;  // of the time of the handshake
  std::optional<ssl::stream<tcp::socket&>> tls_;
  Worker& worker_;
  Shared& shared_;
  boost::beast::flat_buffer in_;
  std::optional<Parser> parser_;
  HttpRequest request_;
  size_t filled_ = 0;
  HttpReply out_;
  std::string header_;
  State state_ = State::kHeader;
  Clock::time_point deadline_ = Clock::time_point::max();
  bool keep_alive_ = true, head_ = false;
  std::atomic<bool> gone_{false};
};

// Carries the answer back to the connection's thread.
class Answer : public Responder {
 public:
  explicit Answer(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}
  ~Answer() override {
    if (connection_)
      send({.status = 500, .body = Buffer::of(error_body("the request got no answer; please report this"))});
  }
  void send(HttpReply reply) override {
    auto connection = std::exchange(connection_, nullptr);
    if (!connection) return;
    auto& context = connection->context();
    // At once on the connection's own thread. The function must be copyable for asio; the reply is not.
    asio::dispatch(context, [connection = std::move(connection), box = std::make_shared<HttpReply>(std::move(reply))] {
      connection->reply(std::move(*box));
    });
  }
  bool gone() const override { return connection_ && connection_->gone(); }

 private:
  std::shared_ptr<Connection> connection_;
};

void Connection::run() {
  state_ = State::kRunning;
  deadline_ = Clock::time_point::max();
  gone_ = false;
  shared_.handler(std::move(request_), std::make_shared<Answer>(shared_from_this()));
  if (state_ == State::kRunning) watch();
}

void Connection::reply(HttpReply reply) {
  if (state_ != State::kRunning) return;
  write(std::move(reply));
}

}  // namespace

struct HttpListener::Impl {
  Shared shared;
  std::vector<std::unique_ptr<Worker>> workers;
  std::optional<tcp::acceptor> acceptor;
  size_t next = 0;
  int port = 0;

  void accept() {
    Worker& worker = *workers[next++ % workers.size()];
    acceptor->async_accept(worker.context, [this, &worker](error_code error, tcp::socket socket) {
      if (!acceptor->is_open()) return;
      if (error) {
        // Out of file descriptors, mostly: trying again at once would spin.
        auto timer = std::make_shared<asio::steady_timer>(workers[0]->context, std::chrono::milliseconds(50));
        timer->async_wait([this, timer](error_code) {
          if (acceptor->is_open()) accept();
        });
        return;
      }
      if (shared.connections < shared.limits.max_connections) {
        auto box = std::make_shared<tcp::socket>(std::move(socket));
        asio::post(worker.context,
                   [this, &worker, box] { std::make_shared<Connection>(std::move(*box), worker, shared)->start(); });
      }
      accept();
    });
  }

  void tick(Worker& worker) {
    worker.tick.expires_after(std::chrono::milliseconds(250));
    worker.tick.async_wait([this, &worker](error_code error) {
      if (error) return;
      const auto now = Clock::now();
      // A copy: a connection that ends leaves the set.
      std::vector<std::weak_ptr<Connection>> all;
      for (Connection* c : worker.connections) all.push_back(c->weak_from_this());
      for (auto& weak : all)
        if (auto c = weak.lock()) c->check(now);
      tick(worker);
    });
  }
};

HttpListener::HttpListener(const std::string& address, int port, const HttpLimits& limits, HttpHandler handler,
                           std::shared_ptr<TlsFiles> tls)
    : impl_(std::make_unique<Impl>()) {
  impl_->shared.limits = limits;
  impl_->shared.handler = std::move(handler);
  impl_->shared.tls = std::move(tls);
  for (int i = 0; i < std::max(1, limits.threads); ++i) impl_->workers.push_back(std::make_unique<Worker>());
  try {
    const tcp::endpoint endpoint(asio::ip::make_address(address), static_cast<uint16_t>(port));
    impl_->acceptor.emplace(impl_->workers[0]->context, endpoint);  // with SO_REUSEADDR
  } catch (const boost::system::system_error& e) {
    throw std::system_error(e.code(), fmt::format("{}:{}", address, port));
  }
  impl_->port = impl_->acceptor->local_endpoint().port();
  impl_->accept();
  for (auto& worker : impl_->workers) {
    impl_->tick(*worker);
    worker->thread = std::thread([w = worker.get()] { w->context.run(); });
  }
}

void HttpListener::halt() {
  for (auto& worker : impl_->workers) worker->context.stop();
  for (auto& worker : impl_->workers)
    if (worker->thread.joinable()) worker->thread.join();
}

HttpListener::~HttpListener() {
  halt();
  // The contexts go before `shared`, and with them the connections that their operations hold.
  impl_->acceptor.reset();
  impl_->workers.clear();
}

int HttpListener::port() const { return impl_->port; }
int HttpListener::connections() const { return impl_->shared.connections; }

void HttpListener::drain() {
  impl_->shared.draining = true;
  asio::post(impl_->workers[0]->context, [this] {
    error_code ignored;
    impl_->acceptor->close(ignored);
  });
  for (auto& worker : impl_->workers)
    asio::post(worker->context, [w = worker.get()] {
      std::vector<std::weak_ptr<Connection>> all;
      for (Connection* c : w->connections) all.push_back(c->weak_from_this());
      for (auto& weak : all)
        if (auto c = weak.lock()) c->drain();
    });
}

}  // namespace carnot::serve
