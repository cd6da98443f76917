// SPDX-License-Identifier: Apache-2.0
#include "load/http_connection.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

namespace carnot::serve::load {
namespace {

constexpr size_t kReadSize = 64 << 10;

bool same_letters(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

Fault lost(const char* what) { return fault(Kind::kUnavailable, "{}: {}", what, std::strerror(errno)); }

}  // namespace

MaybeFault HttpConnection::open() {
  close();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(to_.host.c_str(), to_.port.c_str(), &hints, &found); error != 0)
    return fault(Kind::kUnavailable, "cannot find {}:{}: {}", to_.host, to_.port, gai_strerror(error));
  for (const addrinfo* a = found; a && fd_ < 0; a = a->ai_next) {
    fd_ = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (fd_ >= 0 && connect(fd_, a->ai_addr, a->ai_addrlen) != 0) {
      const int error = errno;
      close();
      errno = error;
    }
  }
  freeaddrinfo(found);
  if (fd_ < 0)
    return fault(Kind::kUnavailable, "cannot connect to {}:{}: {}", to_.host, to_.port, std::strerror(errno));
  const int one = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
  return std::nullopt;
}

void HttpConnection::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void HttpConnection::begin(const std::vector<iovec>& parts) {
  parts_ = parts;
  part_ = have_ = body_at_ = length_ = 0;
  status_ = 0;
}

Or<HttpConnection::Step> HttpConnection::write() {
  while (part_ < parts_.size()) {
    msghdr message{};
    message.msg_iov = parts_.data() + part_;
    message.msg_iovlen = std::min<size_t>(parts_.size() - part_, 64);
    ssize_t n = sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Step::kAgain;
    if (n < 0) return lost("the server closed the connection while the request was sent");
    for (auto left = static_cast<size_t>(n); part_ < parts_.size(); ++part_) {
      iovec& part = parts_[part_];
      if (left < part.iov_len) {
        part.iov_base = static_cast<char*>(part.iov_base) + left;
        part.iov_len -= left;
        break;
      }
      left -= part.iov_len;
    }
  }
  return Step::kDone;
}

MaybeFault HttpConnection::parse_head(size_t end) {
  const std::string_view head(in_.data(), end);
  if (head.size() < 12 || !head.starts_with("HTTP/1."))
    return fault(Kind::kUnavailable, "this is no HTTP/1.1 answer (a gRPC port?)");
  std::from_chars(head.data() + 9, head.data() + 12, status_);
  chunked_ = closes_ = false;
  length_ = 0;
  for (size_t at = head.find("\r\n"); at != std::string_view::npos;) {
    const size_t next = head.find("\r\n", at + 2);
    const std::string_view line = head.substr(at + 2, next == std::string_view::npos ? next : next - at - 2);
    at = next;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, colon);
    std::string_view value = line.substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    if (same_letters(name, "Content-Length")) {
      if (std::from_chars(value.data(), value.data() + value.size(), length_).ec != std::errc() || length_ > size_t{1}
                                                                                                                 << 40)
        return fault(Kind::kUnavailable, "the answer's Content-Length is no number");
    } else if (same_letters(name, "Transfer-Encoding")) {
      chunked_ = same_letters(value, "chunked");
    } else if (same_letters(name, "Connection")) {
      closes_ = same_letters(value, "close");
    }
  }
  body_at_ = end + 4;
  return std::nullopt;
}

// True once the whole body is there.
Or<bool> HttpConnection::complete() {
  if (!chunked_) return have_ >= body_at_ + length_;
  unchunked_.clear();
  for (size_t at = body_at_;;) {
    const std::string_view rest(in_.data() + at, have_ - at);
    const size_t end = rest.find("\r\n");
    if (end == std::string_view::npos) return false;
    size_t size = 0;
    if (std::from_chars(rest.data(), rest.data() + end, size, 16).ec != std::errc() || size > size_t{1} << 40)
      return fault(Kind::kUnavailable, "a chunk of the answer has no size");
    if (rest.size() < end + 2 + size + 2) return false;
    if (size == 0) return true;
    unchunked_.append(rest.substr(end + 2, size));
    at += end + 2 + size + 2;
  }
}

Or<HttpConnection::Step> HttpConnection::read() {
  while (true) {
    const size_t want = body_at_ && !chunked_ ? std::max(body_at_ + length_ - have_, size_t{1}) : kReadSize;
    if (in_.size() < have_ + want) in_.resize(have_ + want);
    const ssize_t n = recv(fd_, in_.data() + have_, in_.size() - have_, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Step::kAgain;
    if (n < 0) return lost("the connection was lost");
    if (n == 0) return fault(Kind::kUnavailable, "the server closed the connection");
    const size_t from = have_ < 3 ? 0 : have_ - 3;
    have_ += static_cast<size_t>(n);
    if (!body_at_) {
      const size_t end = std::string_view(in_.data(), have_).find("\r\n\r\n", from);
      if (end == std::string_view::npos) continue;
      if (auto refused = parse_head(end)) return *refused;
    }
    auto whole = complete();
    if (!whole) return whole.fault();
    if (!*whole) continue;
    if (closes_) close();
    return Step::kDone;
  }
}

std::string_view HttpConnection::body() const {
  return chunked_ ? std::string_view(unchunked_) : std::string_view(in_.data() + body_at_, length_);
}

Or<std::string> HttpConnection::call(std::string_view method, std::string_view path, std::string_view body,
                                     const std::string& headers) {
  if (!is_open())
    if (auto refused = open()) return *refused;
  const std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: {}:{}\r\nContent-Length: {}\r\n{}\r\n", method, path,
                                       to_.host, to_.port, body.size(), headers);
  begin({{const_cast<char*>(head.data()), head.size()}, {const_cast<char*>(body.data()), body.size()}});
  const auto until_done = [&](short event, auto step) -> MaybeFault {
    while (true) {
      auto done = step();
      if (!done) return done.fault();
      if (*done == Step::kDone) return std::nullopt;
      pollfd p{fd_, event, 0};
      if (poll(&p, 1, 60'000) == 0) return fault(Kind::kUnavailable, "no answer within 60 s");
    }
  };
  auto refused = until_done(POLLOUT, [&] { return write(); });
  if (!refused) refused = until_done(POLLIN, [&] { return read(); });
  if (refused) {
    close();
    return *refused;
  }
  if (status_ != 200)
    return fault(status_ == 404 ? Kind::kNotFound : Kind::kInvalid, "{} {}: {} {}", method, path, status_,
                 this->body());
  return std::string(this->body());
}

}  // namespace carnot::serve::load
