// SPDX-License-Identifier: Apache-2.0
// A request and its answer, between the listener (sockets) and the routes (meaning). Neither knows the other.
#pragma once
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace carnot::serve {

// Bytes without initialisation: a body is written once, by the socket.
class Buffer {
 public:
  Buffer() = default;
  // `before` bytes in front of data that starts at a multiple of 64: text of that length, then tensors.
  explicit Buffer(size_t size, size_t before = 0) : size_(size), shift_((64 - before % 64) % 64) {
    memory_.reset(static_cast<char*>(std::aligned_alloc(64, (size + shift_ + 63) / 64 * 64 + 64)));
    if (!memory_) throw std::bad_alloc();
  }
  char* data() { return memory_.get() + shift_; }
  const char* data() const { return memory_.get() + shift_; }
  size_t size() const { return size_; }
  void shrink(size_t size) { size_ = size; }
  std::string_view view() const { return {data(), size_}; }
  static Buffer of(std::string_view text) {
    Buffer b(text.size());
    if (!text.empty()) __builtin_memcpy(b.data(), text.data(), text.size());
    return b;
  }

 private:
  struct Free {
    void operator()(char* p) const { std::free(p); }
  };
  std::unique_ptr<char, Free> memory_;
  size_t size_ = 0, shift_ = 0;
};

struct HttpReply {
  int status = 200;
  std::string_view content_type = "application/json";  // a literal
  std::string headers;                                 // further lines, each with its line end
  Buffer body;
  bool close = false;
};

// Answers one request, once, from any thread. Dropped without an answer: 500.
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void send(HttpReply reply) = 0;
  virtual bool gone() const = 0;  // the client hung up
};

struct HttpRequest {
  std::string method, target;
  std::string content_encoding, accept_encoding;
  std::string inference_length;  // Inference-Header-Content-Length
  bool has_inference_length = false;
  std::string authorization, traceparent, tracestate;
  Buffer body;
};

using HttpHandler = std::function<void(HttpRequest, std::shared_ptr<Responder>)>;

}  // namespace carnot::serve
