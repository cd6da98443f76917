// SPDX-License-Identifier: Apache-2.0
// One HTTP/1.1 connection of the load client: a request out, its answer in. Not thread-safe.
#pragma once
#include <sys/uio.h>

#include <string>
#include <string_view>
#include <vector>

#include "core/fault.hpp"

namespace carnot::serve::load {

struct Address {
  std::string host, port;
};

class HttpConnection {
 public:
  enum class Step { kAgain, kDone };  // kAgain: the socket would block

  explicit HttpConnection(Address to) : to_(std::move(to)) {}
  ~HttpConnection() { close(); }
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // Waits for the connection; the socket does not block from then on.
  MaybeFault open();
  void close();
  bool is_open() const { return fd_ >= 0; }
  int fd() const { return fd_; }

  // Begins a request. The parts must live until write() is done.
  void begin(const std::vector<iovec>& parts);
  Or<Step> write();
  // Reads what is there. kDone: the answer is complete, status() and body() hold until begin().
  Or<Step> read();
  bool answer_begun() const { return have_ > 0; }
  int status() const { return status_; }
  std::string_view body() const;

  // A whole exchange that waits, for what is not measured.
  Or<std::string> call(std::string_view method, std::string_view path, std::string_view body,
                       const std::string& headers);

 private:
  MaybeFault parse_head(size_t end);
  Or<bool> complete();

  Address to_;
  int fd_ = -1;
  std::vector<iovec> parts_;
  size_t part_ = 0;
  std::string in_, unchunked_;
  size_t have_ = 0, body_at_ = 0, length_ = 0;
  bool chunked_ = false, closes_ = false;
  int status_ = 0;
};

}  // namespace carnot::serve::load
