// SPDX-License-Identifier: Apache-2.0
#include "ops/operator.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "base/text.hpp"

namespace carnot::ops {

// One line per file of this folder: CARNOT_OP_FILE(file).
#define CARNOT_OP_FILE(file) std::vector<OpEntry> op_entries_##file();
#include "all_ops.inc"
#undef CARNOT_OP_FILE

namespace {
const std::map<std::string_view, OpEntry>& table() {
  static const auto* entries = [] {
    auto* map = new std::map<std::string_view, OpEntry>();
#define CARNOT_OP_FILE(file) \
  for (const OpEntry& e : op_entries_##file()) CARNOT_CHECK(map->emplace(e.info->name, e).second);
#include "all_ops.inc"
#undef CARNOT_OP_FILE
    return map;
  }();
  return *entries;
}

std::string quote(std::string_view s) {
  std::string out = "\"";
  for (char c : s) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

// Always with a point or exponent, so that it reads back as a double; 17 digits lose nothing.
std::string print_double(double d) {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d < 0 ? "-inf" : "inf";
  std::string s = fmt::format("{}", d);
  if (s.find_first_of(".eE") == std::string::npos) s += ".0";
  return s;
}
}  // namespace

const OpEntry* find_op(std::string_view name) {
  auto it = table().find(name);
  return it == table().end() ? nullptr : &it->second;
}

std::vector<const OpEntry*> all_ops() {
  std::vector<const OpEntry*> out;
  for (const auto& [name, entry] : table()) out.push_back(&entry);
  return out;
}

Result<Operator> make_op(std::string_view name, const Attrs& attrs) {
  if (const OpEntry* entry = find_op(name)) return entry->make(attrs);
  std::string_view nearest;
  size_t best = 3;
  for (const auto& [other, entry] : table())
    if (size_t d = edit_distance(name, other); d < best) {
      best = d;
      nearest = other;
    }
  if (!nearest.empty()) return fail(Code::kNotFound, "there is no operator '{}'; did you mean '{}'?", name, nearest);
  return fail(Code::kNotFound, "there is no operator '{}'", name);
}

Status check_arity(const OpInfo& info, std::span<const bool> present, size_t outputs) {
  const bool variadic = info.inputs.size() > 0 && info.inputs[info.inputs.size() - 1].ends_with('*');
  if (!variadic && present.size() > info.inputs.size())
    return invalid("takes at most {} inputs, got {}", info.inputs.size(), present.size());
  for (size_t i = 0; i < info.inputs.size(); ++i) {
    const std::string_view name = info.inputs[i];
    if (name.ends_with('?') || name.ends_with('*')) continue;
    if (i >= present.size() || !present[i]) return invalid("input {} ('{}') is missing", i, name);
  }
  const bool many = info.outputs.size() > 0 && info.outputs[info.outputs.size() - 1].ends_with('*');
  if (!many && outputs > info.outputs.size()) return invalid("has {} outputs, {} were asked for", info.outputs.size(), outputs);
  return {};
}

std::optional<std::vector<Dim>> InferCtx::values(size_t i) const {
  if (!has(i)) return std::nullopt;
  if (facts(i).values) return facts(i).values;
  const TensorView* data = constant(i);
  if (!data || (!is_integer(data->dtype) && data->dtype != DType::kBool) || data->size() > kMaxTrackedValues) return std::nullopt;
  auto ints = to_int64s(*data);
  if (!ints) return std::nullopt;
  return std::vector<Dim>(ints->begin(), ints->end());
}

std::optional<std::vector<int64_t>> InferCtx::ints(size_t i) const {
  if (const TensorView* data = constant(i)) {
    auto ints = to_int64s(*data);
    if (!ints) return std::nullopt;
    return std::move(*ints);
  }
  auto dims = values(i);
  if (!dims || !is_static(*dims)) return std::nullopt;
  return to_dims(*dims);
}

Result<Shape> broadcast(const Shape& a, const Shape& b) {
  Shape out(std::max(a.size(), b.size()), Dim(1));
  for (size_t i = 0; i < out.size(); ++i) {
    const Dim x = i < a.size() ? a[a.size() - 1 - i] : Dim(1);
    const Dim y = i < b.size() ? b[b.size() - 1 - i] : Dim(1);
    Dim& z = out[out.size() - 1 - i];
    if (x == y || y.is(1))
      z = x;
    else if (x.is(1))
      z = y;
    else if (x.is_constant() && y.is_constant())
      return invalid("shapes {} and {} cannot be broadcast", to_string(a), to_string(b));
    else if (x.is_constant())
      z = x;  // the other must be 1 or the same
    else if (y.is_constant())
      z = y;
    else
      z = Dim::max(x, y);  // either may be 1
  }
  return out;
}

std::string to_string(const Attr& attr) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, int64_t>) return fmt::format("{}", v);
        if constexpr (std::is_same_v<T, double>) return print_double(v);
        if constexpr (std::is_same_v<T, std::string>) return quote(v);
        if constexpr (std::is_same_v<T, DType>) return std::string(dtype_name(v));
        if constexpr (std::is_same_v<T, std::vector<int64_t>>) return fmt::format("[{}]", fmt::join(v, ","));
        std::string out = "[";
        if constexpr (std::is_same_v<T, std::vector<double>>)
          for (double d : v) out += (out.size() > 1 ? "," : "") + print_double(d);
        if constexpr (std::is_same_v<T, std::vector<std::string>>)
          for (const auto& s : v) out += (out.size() > 1 ? "," : "") + quote(s);
        return out + "]";
      },
      attr);
}

namespace {
class AttrParser {
 public:
  explicit AttrParser(std::string_view text) : text_(text) {}
  Result<Attr> parse() {
    skip();
    if (!peek('[')) {
      CARNOT_ASSIGN(Attr a, scalar());
      skip();
      if (at_ != text_.size()) return invalid("unexpected text after attribute value '{}'", text_);
      return a;
    }
    ++at_;
    std::vector<int64_t> ints;
    std::vector<double> doubles;
    std::vector<std::string> strings;
    for (skip(); !peek(']'); skip()) {
      if (at_ >= text_.size()) return invalid("missing ']' in attribute value '{}'", text_);
      CARNOT_ASSIGN(Attr a, scalar());
      if (auto* i = std::get_if<int64_t>(&a)) ints.push_back(*i);
      else if (auto* d = std::get_if<double>(&a)) doubles.push_back(*d);
      else if (auto* s = std::get_if<std::string>(&a)) strings.push_back(*s);
      else return invalid("a list may not hold {}", to_string(a));
      skip();
      if (peek(',')) ++at_;
    }
    if (++at_ != text_.size()) return invalid("unexpected text after attribute value '{}'", text_);
    if ((!ints.empty()) + (!doubles.empty()) + (!strings.empty()) > 1) return invalid("mixed list '{}'", text_);
    if (!doubles.empty()) return Attr(doubles);
    if (!strings.empty()) return Attr(strings);
    return Attr(ints);
  }

 private:
  bool peek(char c) const { return at_ < text_.size() && text_[at_] == c; }
  void skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  Result<Attr> scalar() {
    if (peek('"')) return string();
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != ']' && text_[at_] != ' ') ++at_;
    const std::string token(text_.substr(begin, at_ - begin));
    if (token.empty()) return invalid("empty attribute value in '{}'", text_);
    if (auto dtype = parse_dtype(token)) return Attr(*dtype);
    int64_t i = 0;
    auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), i);
    if (error == std::errc() && end == token.data() + token.size()) return Attr(i);
    char* stop = nullptr;
    const double d = std::strtod(token.c_str(), &stop);
    if (stop != token.c_str() + token.size()) return invalid("'{}' is no attribute value", token);
    return Attr(d);
  }
  Result<Attr> string() {
    std::string out;
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] != '\\') {
        out += text_[at_];
        continue;
      }
      if (++at_ >= text_.size()) break;
      if (text_[at_] == 'x' && at_ + 2 < text_.size()) {
        out += static_cast<char>(std::strtol(std::string(text_.substr(at_ + 1, 2)).c_str(), nullptr, 16));
        at_ += 2;
      } else {
        out += text_[at_];
      }
    }
    if (at_ >= text_.size()) return invalid("unterminated string in '{}'", text_);
    ++at_;
    return Attr(out);
  }
  std::string_view text_;
  size_t at_ = 0;
};
}  // namespace

Result<Attr> parse_attr(std::string_view text) { return AttrParser(text).parse(); }

std::string Operator::str() const {
  std::string out(name());
  std::string list;
  for (const auto& [key, value] : attrs()) list += (list.empty() ? "" : ", ") + key + "=" + to_string(value);
  return list.empty() ? out : out + "(" + list + ")";
}

namespace detail {
bool assign(int64_t& to, const Attr& from) {
  if (const auto* v = std::get_if<int64_t>(&from)) return to = *v, true;
  return false;
}
bool assign(double& to, const Attr& from) {
  if (const auto* v = std::get_if<double>(&from)) return to = *v, true;
  if (const auto* v = std::get_if<int64_t>(&from)) return to = static_cast<double>(*v), true;
  return false;
}
bool assign(std::string& to, const Attr& from) {
  if (const auto* v = std::get_if<std::string>(&from)) return to = *v, true;
  return false;
}
bool assign(DType& to, const Attr& from) {
  if (const auto* v = std::get_if<DType>(&from)) return to = *v, true;
  // ONNX's numbers are ours.
  if (const auto* v = std::get_if<int64_t>(&from); v && *v > 0 && *v < 256 && dtype_size(static_cast<DType>(*v)) > 0)
    return to = static_cast<DType>(*v), true;
  if (const auto* v = std::get_if<int64_t>(&from); v && *v == static_cast<int64_t>(DType::kString)) return to = DType::kString, true;
  return false;
}
bool assign(std::vector<int64_t>& to, const Attr& from) {
  if (const auto* v = std::get_if<std::vector<int64_t>>(&from)) return to = *v, true;
  return false;
}
bool assign(std::vector<double>& to, const Attr& from) {
  if (const auto* v = std::get_if<std::vector<double>>(&from)) return to = *v, true;
  if (const auto* v = std::get_if<std::vector<int64_t>>(&from)) return to.assign(v->begin(), v->end()), true;
  return false;
}
bool assign(std::vector<std::string>& to, const Attr& from) {
  if (const auto* v = std::get_if<std::vector<std::string>>(&from)) return to = *v, true;
  if (const auto* v = std::get_if<std::vector<int64_t>>(&from); v && v->empty()) return to.clear(), true;
  return false;
}
}  // namespace detail

}  // namespace carnot::ops
