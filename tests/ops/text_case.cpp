// SPDX-License-Identifier: Apache-2.0
#include "text_case.hpp"

#include <fstream>
#include <random>

namespace carnot::test {

Constant make_tensor(DType dtype, Dims dims) {
  if (dtype != DType::kString) {
    Constant c = Constant::allocate(dtype, std::move(dims));
    if (c.bytes() > 0) std::memset(c.mutable_data(), 0, c.bytes());
    return c;
  }
  auto strings = std::make_shared<std::vector<std::string>>(static_cast<size_t>(size_of(dims)));
  return Constant{dtype, std::move(dims), strings->data(), strings};
}

namespace {
class Parser {
 public:
  Parser(std::string_view text, uint32_t seed) : text_(text), random_(seed) {}

  Result<TextCase> parse() {
    TextCase c;
    c.op = std::string(word());
    if (c.op.empty()) return invalid("expected an operator's name");
    if (take('(')) {
      while (!take(')')) {
        const std::string name(word());
        if (name.empty() || !take('=')) return invalid("expected name=value in the attributes");
        const Result<ops::Attr> value = ops::parse_attr(attribute_text());
        if (!value) return value.error();
        c.attrs.emplace_back(name, *value);
        take(',');
      }
    }
    skip();
    if (!text_.substr(at_).starts_with("->")) {
      do {
        CARNOT_ASSIGN(Operand in, operand(true));
        c.inputs.push_back(std::move(in));
      } while (take(','));
    }
    skip();
    if (!text_.substr(at_).starts_with("->")) return invalid("expected '->' at '{}'", text_.substr(at_));
    at_ += 2;
    skip();
    if (text_.substr(at_).starts_with("error")) {
      at_ += 5;
      CARNOT_ASSIGN(std::string part, quoted());
      c.error = std::move(part);
    } else {
      do {
        CARNOT_ASSIGN(Operand out, operand(false));
        c.results.push_back(std::move(out));
      } while (take(','));
      skip();
      if (text_.substr(at_).starts_with("tol=")) {
        at_ += 4;
        CARNOT_ASSIGN(const double tolerance, number());
        c.tolerance = tolerance;
      }
    }
    skip();
    if (at_ != text_.size()) return invalid("unexpected '{}'", text_.substr(at_));
    return c;
  }

 private:
  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  std::string_view word() {
    skip();
    const size_t begin = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_')) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  // Up to the ',' or ')' that ends an attribute, brackets and quotes respected.
  std::string_view attribute_text() {
    skip();
    const size_t begin = at_;
    int depth = 0;
    bool in_quotes = false;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (in_quotes && c == '\\')
        ++at_;
      else if (c == '"')
        in_quotes = !in_quotes;
      else if (in_quotes)
        continue;
      else if (c == '[')
        ++depth;
      else if (c == ']')
        --depth;
      else if (depth == 0 && (c == ',' || c == ')'))
        break;
    }
    at_ = std::min(at_, text_.size());
    return text_.substr(begin, at_ - begin);
  }
  Result<std::string> quoted() {
    if (!take('"')) return invalid("expected a quoted text at '{}'", text_.substr(at_));
    std::string out;
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      out += text_[at_];
    }
    if (!take('"')) return invalid("missing closing quote");
    return out;
  }
  Result<double> number() {
    skip();
    const std::string rest(text_.substr(at_, 64));
    if (rest.starts_with("true")) return at_ += 4, 1.0;
    if (rest.starts_with("false")) return at_ += 5, 0.0;
    char* end = nullptr;
    const double value = std::strtod(rest.c_str(), &end);
    if (end == rest.c_str()) return invalid("expected a number at '{}'", rest);
    at_ += static_cast<size_t>(end - rest.c_str());
    return value;
  }
  Result<int64_t> integer() {
    skip();
    const std::string rest(text_.substr(at_, 32));
    char* end = nullptr;
    const int64_t value = std::strtoll(rest.c_str(), &end, 10);
    if (end == rest.c_str()) return invalid("expected an integer at '{}'", rest);
    at_ += static_cast<size_t>(end - rest.c_str());
    return value;
  }

  Result<Operand> operand(bool is_input) {
    Operand o;
    const std::string_view name = word();
    if (name == "_") return o;
    if (!is_input && name == "reference") {
      o.kind = Operand::Kind::kReference;
      return o;
    }
    const auto dtype = parse_dtype(name);
    if (!dtype) return invalid("'{}' is no dtype", name);
    o.dtype = *dtype;
    if (!take('[')) return invalid("expected '[' after '{}'", name);
    while (!take(']')) {
      CARNOT_ASSIGN(const int64_t dim, integer());
      o.dims.push_back(dim);
      take(',');
    }
    CARNOT_RETURN_IF_ERROR(checked_size(o.dims));
    o.kind = Operand::Kind::kShape;
    if (take('=')) {
      o.kind = Operand::Kind::kData;
      CARNOT_ASSIGN(Constant data, take('{') ? list(o) : generated(o));
      o.data = std::move(data);
    } else if (is_input) {
      const bool real = is_float(o.dtype), is_signed = o.dtype == DType::kI8 || o.dtype == DType::kI16 ||
                                                       o.dtype == DType::kI32 || o.dtype == DType::kI64;
      o.kind = Operand::Kind::kData;
      o.data = uniform(o, real ? -1 : is_signed ? -5 : 0, real ? 1 : o.dtype == DType::kBool ? 2 : 6);
    }
    return o;
  }
  Result<Constant> list(const Operand& o) {
    Constant c = make_tensor(o.dtype, o.dims);
    const auto size = static_cast<size_t>(c.size());
    std::vector<std::string> strings;
    std::vector<double> reals;
    std::vector<int64_t> ints;  // 64-bit integers do not survive a double
    const bool exact = is_integer(o.dtype);
    size_t count = 0;
    while (!take('}')) {
      ++count;
      if (o.dtype == DType::kString) {
        CARNOT_ASSIGN(std::string s, quoted());
        strings.push_back(std::move(s));
      } else if (exact) {
        CARNOT_ASSIGN(const int64_t v, integer());
        ints.push_back(v);
      } else {
        CARNOT_ASSIGN(const double v, number());
        reals.push_back(v);
      }
      take(',');
    }
    if (count != size && !(count == 1 && size > 1))
      return invalid("{} has {} elements, {} are given", to_string(o.dims), size, count);
    auto pick = [&](const auto& from, size_t i) { return from[count == 1 ? 0 : i]; };
    if (o.dtype == DType::kString)
      for (size_t i = 0; i < size; ++i) static_cast<std::string*>(c.mutable_data())[i] = pick(strings, i);
    dispatch_dtype(o.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (size_t i = 0; i < size; ++i)
        static_cast<T*>(c.mutable_data())[i] = exact ? static_cast<T>(pick(ints, i)) : static_cast<T>(pick(reals, i));
    });
    return c;
  }
  Result<Constant> generated(const Operand& o) {
    const std::string_view how = word();
    if (!take('(')) return invalid("expected '(' after '{}'", how);
    CARNOT_ASSIGN(const double a, number());
    take(',');
    CARNOT_ASSIGN(const double b, number());
    if (!take(')')) return invalid("expected ')'");
    if (how == "uniform") return uniform(o, a, b);
    if (how != "linspace") return invalid("'{}' is neither linspace nor uniform", how);
    Constant c = make_tensor(o.dtype, o.dims);
    const int64_t n = c.size();
    dispatch_dtype(o.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t i = 0; i < n; ++i)
        static_cast<T*>(c.mutable_data())[i] =
            static_cast<T>(n > 1 ? a + (b - a) * static_cast<double>(i) / static_cast<double>(n - 1) : a);
    });
    return c;
  }
  // In [a, b); integers are rounded down.
  Constant uniform(const Operand& o, double a, double b) {
    Constant c = make_tensor(o.dtype, o.dims);
    dispatch_dtype(o.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t i = 0; i < c.size(); ++i) {
        double v = a + (b - a) * (random_() / 4294967296.0);
        if (!is_float(o.dtype)) v = std::floor(v);
        static_cast<T*>(c.mutable_data())[i] = static_cast<T>(v);
      }
    });
    return c;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::mt19937 random_;
};

std::string_view without_comment(std::string_view line) {
  bool in_quotes = false;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"') in_quotes = !in_quotes;
    if (line[i] == '#' && !in_quotes) return line.substr(0, i);
  }
  return line;
}
}  // namespace

Result<TextCase> parse_case(std::string_view text, int line) {
  // The seed follows the text, not the line number: moving a line keeps its numbers.
  uint32_t seed = 2166136261u;
  for (char c : text) seed = (seed ^ static_cast<unsigned char>(c)) * 16777619u;
  auto result = Parser(text, seed).parse();
  if (result) {
    result->line = line;
    result->text = std::string(text);
  }
  return result;
}

Result<TextFile> read_text_file(const std::string& path) {
  std::ifstream in(path);
  if (!in) return fail(Code::kIo, "cannot open '{}'", path);
  TextFile file;
  std::string text, line;
  int number = 0, first = 0;
  auto finish = [&] {
    const size_t begin = text.find_first_not_of(" \t\r");
    if (begin != std::string::npos) {
      const size_t end = text.find_last_not_of(" \t\r");
      auto parsed = parse_case(std::string_view(text).substr(begin, end - begin + 1), first);
      if (parsed)
        file.cases.push_back(std::move(*parsed));
      else
        file.broken.emplace_back(first, parsed.error().message);
    }
    text.clear();
  };
  while (std::getline(in, line)) {
    ++number;
    if (text.empty()) first = number;
    std::string_view part = without_comment(line);
    const size_t end = part.find_last_not_of(" \t\r");
    part = part.substr(0, end == std::string_view::npos ? 0 : end + 1);
    if (part.ends_with('\\')) {
      text += part.substr(0, part.size() - 1);
      text += ' ';
      continue;
    }
    text += part;
    finish();
  }
  finish();
  return file;
}

}  // namespace carnot::test
