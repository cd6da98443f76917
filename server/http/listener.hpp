// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 over TCP or TLS: threads that each own their connections, so a request that its handler answers at once
// never changes threads. Slow, idle and too many clients are closed; a body that is too long is refused before it is
// read.
#pragma once
#include <chrono>
#include <memory>
#include <string>

#include "http/message.hpp"
#include "http/tls.hpp"

namespace carnot::serve {

struct HttpLimits {
  int threads = 2;
  size_t max_body = size_t{64} << 20;
  int max_connections = 4096;
  std::chrono::seconds read_timeout{30}, idle_timeout{300};
};

class HttpListener {
 public:
  // Listens at once (throws std::system_error if it cannot); port 0: any. `tls`: null for plain TCP.
  HttpListener(const std::string& address, int port, const HttpLimits& limits, HttpHandler handler,
               std::shared_ptr<TlsFiles> tls = nullptr);
  ~HttpListener();
  HttpListener(const HttpListener&) = delete;
  HttpListener& operator=(const HttpListener&) = delete;
  int port() const;
  // No new connections; idle ones are closed now, busy ones after their answer.
  void drain();
  int connections() const;
  // Ends the threads. Answers that are still to come are then dropped, so whatever may send one can be destroyed.
  void halt();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace carnot::serve
