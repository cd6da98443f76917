// SPDX-License-Identifier: Apache-2.0
// Writes JSON. The runtime only ever writes a few reports, so that it needs no JSON library (tools use nlohmann-json).
#pragma once
#include <fmt/format.h>

#include <cmath>
#include <string>
#include <string_view>

namespace carnot::runtime {

class JsonWriter {
 public:
  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }
  void key(std::string_view name) {
    comma();
    string(name);
    text_ += ':';
    fresh_ = true;
  }
  void value(std::string_view v) {
    comma();
    string(v);
  }
  void value(int64_t v) {
    comma();
    text_ += fmt::format("{}", v);
  }
  void value(double v) {
    comma();
    text_ += std::isfinite(v) ? fmt::format("{}", v) : "null";
  }
  template <typename T>
  void field(std::string_view name, const T& v) {
    key(name);
    value(v);
  }
  std::string take() { return std::move(text_); }

 private:
  void comma() {
    if (!fresh_) text_ += ',';
    fresh_ = false;
  }
  void open(char c) {
    comma();
    text_ += c;
    fresh_ = true;
  }
  void close(char c) {
    text_ += c;
    fresh_ = false;
  }
  void string(std::string_view s) {
    text_ += '"';
    for (char c : s) {
      if (c == '"' || c == '\\')
        (text_ += '\\') += c;
      else if (static_cast<unsigned char>(c) < 0x20)
        text_ += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
      else
        text_ += c;
    }
    text_ += '"';
  }
  std::string text_;
  bool fresh_ = true;
};

}  // namespace carnot::runtime
