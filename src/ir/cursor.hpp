// SPDX-License-Identifier: Apache-2.0
// A place in a graph's text, and the words there. White space and comments count for nothing between words. Internal to ir/parse.cpp.
#pragma once
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace carnot::ir {

class Cursor {
 protected:
  explicit Cursor(std::string_view text) : text_(text) {}

  // "line:column: what", of this place or another.
  Error error(std::string_view what) const;
  Error error_at(size_t at, std::string_view what) const;

  void skip();  // over white space and comments
  bool end();
  bool peek(char c);
  bool take(char c);
  Status expect(char c, std::string_view after);

  static bool is_word(unsigned char c);
  // A plain word at this very place; empty if there is none. "a:" before a type ends without its colon.
  std::string_view raw_word();
  // Letters, digits, '_' and '.'.
  std::string_view keyword();
  bool take_keyword(std::string_view wanted);
  Result<std::string> quoted();
  // Plain or in quotes.
  Result<std::string> word();
  // The same behind '%'.
  Result<std::string> value_name();

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace carnot::ir
