// SPDX-License-Identifier: Apache-2.0
#include "ir/cursor.hpp"

#include <algorithm>
#include <cctype>

#include "base/attr.hpp"
#include "ops/operator.hpp"

namespace carnot::ir {

Error Cursor::error(std::string_view what) const { return error_at(at_, what); }

Error Cursor::error_at(size_t at, std::string_view what) const {
  at = std::min(at, text_.size());
  const auto before = text_.substr(0, at);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t newline = before.rfind('\n');
  return invalid("{}:{}: {}", line, at - (newline == std::string_view::npos ? 0 : newline + 1) + 1, what);
}

void Cursor::skip() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == ' ' || c == '\n' || c == '\t' || c == '\r') {
      ++at_;
    } else if (c == '/' && at_ + 1 < text_.size() && text_[at_ + 1] == '/') {
      while (at_ < text_.size() && text_[at_] != '\n') ++at_;
    } else {
      return;
    }
  }
}

bool Cursor::end() {
  skip();
  return at_ >= text_.size();
}

bool Cursor::peek(char c) {
  skip();
  return at_ < text_.size() && text_[at_] == c;
}

bool Cursor::take(char c) {
  if (!peek(c)) return false;
  ++at_;
  return true;
}

Status Cursor::expect(char c, std::string_view after) {
  if (!take(c)) return error(fmt::format("expected '{}' {}", c, after));
  return {};
}

bool Cursor::is_word(unsigned char c) {
  return std::isalnum(c) || c == '_' || c == '.' || c == '/' || c == ':' || c == '$' || c == '-';
}

std::string_view Cursor::raw_word() {
  const size_t begin = at_;
  while (at_ < text_.size() && is_word(static_cast<unsigned char>(text_[at_])) && text_.substr(at_, 2) != "//") ++at_;
  if (at_ > begin && text_[at_ - 1] == ':') --at_;
  return text_.substr(begin, at_ - begin);
}

std::string_view Cursor::keyword() {
  skip();
  const size_t begin = at_;
  while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_' || text_[at_] == '.')) ++at_;
  return text_.substr(begin, at_ - begin);
}

bool Cursor::take_keyword(std::string_view wanted) {
  skip();
  const size_t begin = at_;
  if (keyword() == wanted) return true;
  at_ = begin;
  return false;
}

Result<std::string> Cursor::quoted() {
  skip();
  const size_t begin = at_;
  if (!peek('"')) return error("expected a name in quotes");
  for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_)
    if (text_[at_] == '\\') ++at_;
  if (at_ >= text_.size()) return error_at(begin, "unterminated quotes");
  ++at_;
  auto attr = ops::parse_attr(text_.substr(begin, at_ - begin));
  if (!attr) return error_at(begin, attr.error().message);
  if (auto* s = std::get_if<std::string>(&*attr)) return std::move(*s);
  return error_at(begin, "expected a name in quotes");
}

Result<std::string> Cursor::word() {
  skip();
  if (peek('"')) return quoted();
  const std::string_view w = raw_word();
  if (w.empty()) return error("expected a name");
  return std::string(w);
}

Result<std::string> Cursor::value_name() {
  CARNOT_RETURN_IF_ERROR(expect('%', "before the name of a value"));
  if (at_ < text_.size() && text_[at_] == '"') return quoted();
  const std::string_view w = raw_word();
  if (w.empty()) return error("expected the name of a value");
  return std::string(w);
}

}  // namespace carnot::ir
