// SPDX-License-Identifier: Apache-2.0
// Dims and shapes as text, and back.
#include <algorithm>
#include <cctype>

#include "base/dims.hpp"
#include "base/dims_poly.hpp"

namespace carnot {

namespace {
constexpr std::string_view kAtomNames[] = {"", "floordiv", "ceildiv", "mod", "min", "max"};
}  // namespace

std::string Dim::str() const {
  if (!poly_) return fmt::format("{}", constant_);
  std::string out;
  for (const Term& t : poly_->terms) {
    if (!out.empty() && t.coefficient >= 0) out += '+';
    if (t.atoms.empty()) {
      out += fmt::format("{}", t.coefficient);
      continue;
    }
    if (t.coefficient == -1)
      out += '-';
    else if (t.coefficient != 1)
      out += fmt::format("{}*", t.coefficient);
    for (size_t i = 0; i < t.atoms.size(); ++i) {
      const Atom& atom = t.atoms[i];
      if (i) out += '*';
      out += atom.kind == AtomKind::kSymbol ? atom.name
                                            : fmt::format("{}({},{})", kAtomNames[static_cast<int>(atom.kind)], atom.a.str(), atom.b.str());
    }
  }
  return out;
}

namespace {
// sum := ['-'] product (('+'|'-') product)* ; product := factor ('*' factor)* ; factor := int | symbol | fn '(' sum ',' sum ')' | '(' sum ')'
class DimParser {
 public:
  explicit DimParser(std::string_view text) : text_(text) {}
  Result<Dim> parse() {
    CARNOT_ASSIGN(Dim d, sum(0));
    skip();
    if (at_ != text_.size()) return invalid("unexpected '{}' in dimension '{}'", text_.substr(at_), text_);
    return d;
  }

 private:
  void skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  Result<Dim> sum(int depth) {
    if (depth > 32) return invalid("dimension '{}' is nested too deeply", text_.substr(0, 40));
    const bool negative = take('-');
    CARNOT_ASSIGN(Dim total, product(depth));
    if (negative) total = Dim(0) - total;
    while (true) {
      if (take('+')) {
        CARNOT_ASSIGN(Dim next, product(depth));
        total = total + next;
      } else if (take('-')) {
        CARNOT_ASSIGN(Dim next, product(depth));
        total = total - next;
      } else {
        return total;
      }
    }
  }
  Result<Dim> product(int depth) {
    CARNOT_ASSIGN(Dim total, factor(depth));
    while (take('*')) {
      CARNOT_ASSIGN(Dim next, factor(depth));
      // Products of sums double with every factor: text from outside must not make them explode.
      if (DimPoly::of(total).terms.size() * DimPoly::of(next).terms.size() > 256) return invalid("dimension '{}' has too many terms", text_.substr(0, 40));
      total = total * next;
    }
    return total;
  }
  Result<Dim> factor(int depth) {
    if (take('(')) {
      CARNOT_ASSIGN(Dim inner, sum(depth + 1));
      if (!take(')')) return invalid("missing ')' in dimension '{}'", text_);
      return inner;
    }
    skip();
    const size_t begin = at_;
    auto word = [&](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '$' || c == ':' || c == '/' || (c & 0x80); };
    while (at_ < text_.size() && word(text_[at_])) ++at_;
    const std::string_view token = text_.substr(begin, at_ - begin);
    if (token.empty()) return invalid("expected a number or a name at '{}' in dimension '{}'", text_.substr(begin), text_);
    if (std::all_of(token.begin(), token.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      if (token.size() > 18) return invalid("number {} in dimension is too large", token);
      return Dim(std::stoll(std::string(token)));
    }
    if (!take('(')) return Dim::symbol(token);
    CARNOT_ASSIGN(Dim a, sum(depth + 1));
    if (!take(',')) return invalid("missing ',' in dimension '{}'", text_);
    CARNOT_ASSIGN(Dim b, sum(depth + 1));
    if (!take(')')) return invalid("missing ')' in dimension '{}'", text_);
    if (token == "floordiv") return Dim::floordiv(a, b);
    if (token == "ceildiv") return Dim::ceildiv(a, b);
    if (token == "mod") return Dim::mod(a, b);
    if (token == "min") return Dim::min(a, b);
    if (token == "max") return Dim::max(a, b);
    return invalid("unknown function '{}' in dimension '{}'", token, text_);
  }
  std::string_view text_;
  size_t at_ = 0;
};
}  // namespace

Result<Dim> Dim::parse(std::string_view text) { return DimParser(text).parse(); }

size_t Dim::hash() const { return poly_ ? std::hash<std::string>()(str()) : std::hash<int64_t>()(constant_); }

std::string to_string(const Shape& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? "," : "") + shape[i].str();
  return out + "]";
}

std::string to_string(const Dims& dims) { return to_string(to_shape(dims)); }

}  // namespace carnot
