// SPDX-License-Identifier: Apache-2.0
// A recursive-descent parser over one text. Text may come from anyone: nesting, sizes and counts are limited, and memory stays
// within a small multiple of the text's length (splat, random and elided constants count against kMaxFilledBytes).
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <map>

#include "ir/cursor.hpp"
#include "ir/text.hpp"

namespace carnot::ir {
namespace {

constexpr int kMaxDepth = 64;
constexpr size_t kMaxDimText = 1024;
constexpr size_t kMaxRank = 64;
constexpr int64_t kMaxFilledBytes = int64_t{1} << 30;

class Parser : Cursor {
 public:
  Parser(std::string_view text, const ParseOptions& options) : Cursor(text), options_(options) {}

  Result<std::unique_ptr<Graph>> parse() {
    auto graph = graph_of(nullptr, 0);
    if (graph && !end()) return error("unexpected text after the graph");
    if (!graph) return std::move(graph.error());
    (*graph)->reserve_symbols(next_symbol_);
    return graph;
  }

 private:
  // ---- types ----------------------------------------------------------------------------------------------------------------
  // Dims up to `close`, which is taken too.
  Result<std::vector<Dim>> dims(char close, size_t limit) {
    std::vector<Dim> out;
    if (take(close)) return out;
    while (true) {
      skip();
      const size_t begin = at_;
      int depth = 0;
      while (at_ < text_.size() && text_[at_] != '\n') {
        const char c = text_[at_];
        if (depth == 0 && (c == ',' || c == close)) break;
        if (c == '(') ++depth;
        if (c == ')') --depth;
        ++at_;
      }
      if (at_ >= text_.size() || text_[at_] == '\n') return error_at(begin, fmt::format("missing '{}' after dimensions", close));
      const std::string_view text = text_.substr(begin, at_ - begin);
      if (text.size() > kMaxDimText) return error_at(begin, "dimension is too long");
      auto dim = Dim::parse(text);
      if (!dim) return error_at(begin, dim.error().message);
      note_symbols(*dim);
      out.push_back(std::move(*dim));
      if (out.size() > limit) return error_at(begin, fmt::format("more than {} dimensions", limit));
      if (text_[at_++] == close) return out;
    }
  }
  // Fresh symbols of this graph must not meet those that the text uses already.
  void note_symbols(const Dim& dim) {
    if (dim.is_constant()) return;
    std::set<std::string> symbols;
    dim.collect_symbols(symbols);
    for (const std::string& s : symbols) {
      int64_t number = 0;
      if (s.size() < 2 || s[0] != '$') continue;
      const auto [stop, bad] = std::from_chars(s.data() + 1, s.data() + s.size(), number);
      if (bad == std::errc() && stop == s.data() + s.size() && number < (int64_t{1} << 60)) next_symbol_ = std::max(next_symbol_, number + 1);
    }
  }
  Result<ops::ValueFacts> type() {
    skip();
    const size_t begin = at_;
    const std::string_view name = keyword();
    const auto dtype = parse_dtype(name);
    if (!dtype && name != "invalid") return error_at(begin, fmt::format("'{}' is no element type", name));
    ops::ValueFacts facts{dtype.value_or(DType::kInvalid), {}};
    CARNOT_RETURN_IF_ERROR(expect('[', "after the element type"));
    CARNOT_ASSIGN(facts.shape, dims(']', kMaxRank));
    if (take('{')) {
      CARNOT_ASSIGN(facts.values, dims('}', ops::kMaxTrackedValues));
    }
    return facts;
  }

  // ---- constants ------------------------------------------------------------------------------------------------------------
  template <typename T>
  bool element(std::string_view token, T& out) {
    if constexpr (std::is_same_v<T, bool>) {
      out = token == "true" || token == "1";
      return out || token == "false" || token == "0";
    } else if constexpr (std::is_integral_v<T>) {
      const auto [stop, bad] = std::from_chars(token.data(), token.data() + token.size(), out);
      return bad == std::errc() && stop == token.data() + token.size();
    } else {
      const std::string text(token);
      char* stop = nullptr;
      if constexpr (std::is_same_v<T, double>)
        out = std::strtod(text.c_str(), &stop);
      else
        out = T(std::strtof(text.c_str(), &stop));
      return !text.empty() && stop == text.c_str() + text.size();
    }
  }
  // "{1, 2, 3}": exactly `count` elements.
  Status elements(DType dtype, void* to, int64_t count) {
    CARNOT_RETURN_IF_ERROR(expect('{', "before the elements of a constant"));
    for (int64_t i = 0; i < count; ++i) {
      if (i) CARNOT_RETURN_IF_ERROR(expect(',', "between elements"));
      skip();
      const size_t begin = at_;
      while (at_ < text_.size() && (is_word(static_cast<unsigned char>(text_[at_])) || text_[at_] == '+')) ++at_;
      bool good = false;
      dispatch_dtype(dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        good = element(text_.substr(begin, at_ - begin), static_cast<T*>(to)[i]);
      });
      if (!good) return error_at(begin, fmt::format("'{}' is no element of type {}", text_.substr(begin, at_ - begin), dtype_name(dtype)));
    }
    return expect('}', fmt::format("after {} elements", count));
  }
  static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  }
  static void fill_random(Constant& c, uint64_t seed) {
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    dispatch_dtype(c.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      T* p = static_cast<T*>(c.mutable_data());
      for (int64_t i = 0; i < c.size(); ++i) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const auto bits = static_cast<uint32_t>(state >> 40);  // 24 bits
        if constexpr (std::is_same_v<T, bool>)
          p[i] = bits & 1;
        else if constexpr (std::is_integral_v<T>)
          p[i] = static_cast<T>(bits % 10);
        else
          p[i] = T(static_cast<float>(bits) / 8388608.0f - 1.0f);
      }
    });
  }
  Result<Constant> constant() {
    skip();
    const size_t begin = at_;
    CARNOT_ASSIGN(ops::ValueFacts facts, type_without_values());
    if (!is_static(facts.shape)) return error_at(begin, "a constant has a fixed shape");
    if (dtype_size(facts.dtype) == 0) return error_at(begin, fmt::format("there are no constants of type {}", dtype_name(facts.dtype)));
    Dims shape = to_dims(facts.shape);
    auto size = checked_size(shape);
    if (!size) return error_at(begin, size.error().message);
    int64_t bytes = 0;
    if (__builtin_mul_overflow(*size, static_cast<int64_t>(dtype_size(facts.dtype)), &bytes)) return error_at(begin, "the constant is too large");
    const auto left = static_cast<int64_t>(text_.size() - at_);
    skip();
    if (text_.substr(at_, 2) == "0x") {
      at_ += 2;
      if (bytes > left / 2) return error(fmt::format("the constant needs {} bytes", bytes));
      Constant c = Constant::allocate(facts.dtype, std::move(shape));
      auto* p = static_cast<unsigned char*>(c.mutable_data());
      for (int64_t i = 0; i < bytes; ++i, at_ += 2) {
        const int high = at_ + 1 < text_.size() ? hex_digit(text_[at_]) : -1, low = high < 0 ? -1 : hex_digit(text_[at_ + 1]);
        if (low < 0) return error(fmt::format("expected {} bytes in hex, got {}", bytes, i));
        p[i] = static_cast<unsigned char>(high * 16 + low);
      }
      if (at_ < text_.size() && hex_digit(text_[at_]) >= 0) return error(fmt::format("more than {} bytes in hex", bytes));
      if (facts.dtype == DType::kBool)
        for (int64_t i = 0; i < bytes; ++i)
          if (p[i] > 1) return error_at(begin, "a bool is 00 or 01");
      return c;
    }
    if (peek('{')) {
      if (*size > left) return error(fmt::format("the constant needs {} elements", *size));
      Constant c = Constant::allocate(facts.dtype, std::move(shape));
      CARNOT_RETURN_IF_ERROR(elements(facts.dtype, c.mutable_data(), *size));
      return c;
    }
    filled_bytes_ += bytes;
    if (bytes > kMaxFilledBytes || filled_bytes_ > kMaxFilledBytes) return error_at(begin, "the constants are too large");
    if (take('<')) {
      if (!take_keyword("elided")) return error("expected 'elided'");
      keyword();
      if (!take_keyword("bytes") || !take('>')) return error("expected 'bytes>'");
      if (!options_.fill_elided) return error_at(begin, "this text was printed without its large constants and cannot be read back");
      Constant c = Constant::allocate(facts.dtype, std::move(shape));
      fill_random(c, static_cast<uint64_t>(filled_bytes_));
      return c;
    }
    if (take_keyword("splat")) {
      Constant c = Constant::allocate(facts.dtype, std::move(shape));
      uint64_t one = 0;
      CARNOT_RETURN_IF_ERROR(elements(facts.dtype, &one, 1));
      const size_t width = dtype_size(facts.dtype);
      for (int64_t i = 0; i < *size; ++i) std::memcpy(static_cast<char*>(c.mutable_data()) + static_cast<size_t>(i) * width, &one, width);
      return c;
    }
    if (take_keyword("random")) {
      uint64_t seed = 0;
      CARNOT_RETURN_IF_ERROR(elements(DType::kU64, &seed, 1));
      Constant c = Constant::allocate(facts.dtype, std::move(shape));
      fill_random(c, seed);
      return c;
    }
    return error("expected the elements of a constant");
  }
  Result<ops::ValueFacts> type_without_values() {
    skip();
    const size_t begin = at_;
    const std::string_view name = keyword();
    const auto dtype = parse_dtype(name);
    if (!dtype) return error_at(begin, fmt::format("'{}' is no element type", name));
    CARNOT_RETURN_IF_ERROR(expect('[', "after the element type"));
    CARNOT_ASSIGN(Shape shape, dims(']', kMaxRank));
    return ops::ValueFacts{*dtype, std::move(shape)};
  }

  // ---- nodes ----------------------------------------------------------------------------------------------------------------
  using Scope = std::map<std::string, Value*, std::less<>>;

  Result<Attrs> attributes() {
    Attrs out;
    if (take(')')) return out;
    while (true) {
      skip();
      const size_t begin = at_;
      const std::string key(keyword());
      if (key.empty()) return error_at(begin, "expected the name of an attribute");
      CARNOT_RETURN_IF_ERROR(expect('=', "after the name of an attribute"));
      skip();
      const size_t from = at_;
      int depth = 0;
      bool in_quotes = false;
      for (; at_ < text_.size(); ++at_) {
        const char c = text_[at_];
        if (in_quotes) {
          if (c == '\\') ++at_;
          if (c == '"') in_quotes = false;
          continue;
        }
        if (depth == 0 && (c == ',' || c == ')')) break;
        if (c == '\n') break;
        in_quotes = c == '"';
        if (c == '[') ++depth;
        if (c == ']') --depth;
      }
      if (at_ >= text_.size() || text_[at_] == '\n') return error_at(from, "missing ')' after attributes");
      auto attr = ops::parse_attr(text_.substr(from, at_ - from));
      if (!attr) return error_at(from, attr.error().message);
      for (const auto& [other, _] : out)
        if (other == key) return error_at(begin, fmt::format("attribute '{}' stands twice", key));
      out.emplace_back(key, std::move(*attr));
      if (text_[at_++] == ')') return out;
    }
  }
  Result<Value*> use(Scope& scope) {
    skip();
    const size_t begin = at_;
    CARNOT_ASSIGN(const std::string name, value_name());
    auto it = scope.find(name);
    if (it == scope.end()) return error_at(begin, fmt::format("%{} is not defined before this use", name));
    return it->second;
  }

  Status statement(Graph& graph, Scope& scope, int depth) {
    skip();
    const size_t begin = at_;
    std::vector<std::string> names;
    do {
      CARNOT_ASSIGN(std::string name, value_name());
      if (scope.count(name) || std::find(names.begin(), names.end(), name) != names.end())
        return error_at(begin, fmt::format("%{} is defined twice", name));
      names.push_back(std::move(name));
    } while (take(','));
    CARNOT_RETURN_IF_ERROR(expect('=', "after the results"));
    skip();
    const size_t op_begin = at_;
    const std::string op_name(keyword());
    if (op_name == "constant") {
      if (names.size() != 1) return error_at(begin, "a constant is one value");
      CARNOT_ASSIGN(Constant c, constant());
      scope[names[0]] = graph.add_constant(std::move(c), names[0]);
      return {};
    }
    Attrs attrs;
    if (at_ < text_.size() && text_[at_] == '(') {
      ++at_;
      CARNOT_ASSIGN(attrs, attributes());
    }
    auto op = ops::make_op(op_name, attrs);
    if (!op) return error_at(op_begin, op.error().message);
    std::vector<Value*> inputs;
    while (peek('%') || (inputs.empty() ? peek('_') : true)) {
      if (take('_')) {
        inputs.push_back(nullptr);
      } else {
        CARNOT_ASSIGN(Value * v, use(scope));
        inputs.push_back(v);
      }
      if (!take(',')) break;
    }
    Graph::NodeOptions options;
    if (take('{')) {
      while (!take('}')) {
        CARNOT_ASSIGN(auto body, graph_of(&graph, depth + 1));
        options.bodies.push_back(std::move(body));
      }
    }
    if (static_cast<int>(options.bodies.size()) != op->info().bodies)
      return error_at(op_begin, fmt::format("operator '{}' has {} bodies, got {}", op_name, op->info().bodies, options.bodies.size()));
    CARNOT_RETURN_IF_ERROR(expect(':', "before the types of the results"));
    std::vector<ops::ValueFacts> types;
    do {
      CARNOT_ASSIGN(ops::ValueFacts facts, type());
      types.push_back(std::move(facts));
    } while (take(','));
    if (types.size() != names.size()) return error_at(begin, fmt::format("{} results have {} types", names.size(), types.size()));
    if (take('@')) {
      CARNOT_ASSIGN(options.where.name, quoted());
      if (peek('"')) {
        CARNOT_ASSIGN(options.where.type, quoted());
      }
    }
    options.out_names = names;
    Node* node = graph.add_unchecked(std::move(*op), std::move(inputs), std::move(types), std::move(options));
    for (size_t i = 0; i < names.size(); ++i) scope[names[i]] = node->outputs[i];
    return {};
  }

  Result<std::unique_ptr<Graph>> graph_of(Graph* parent, int depth) {
    if (depth > kMaxDepth) return error(fmt::format("bodies are nested more than {} deep", kMaxDepth));
    if (!take_keyword("graph")) return error("expected 'graph'");
    auto graph = std::make_unique<Graph>(parent);
    CARNOT_ASSIGN(graph->name, word());
    Scope scope;
    CARNOT_RETURN_IF_ERROR(expect('(', "after the name of the graph"));
    if (!take(')')) {
      do {
        skip();
        const size_t begin = at_;
        CARNOT_ASSIGN(const std::string name, value_name());
        if (scope.count(name)) return error_at(begin, fmt::format("%{} is defined twice", name));
        CARNOT_RETURN_IF_ERROR(expect(':', "after the name of an input"));
        CARNOT_ASSIGN(ops::ValueFacts facts, type());
        Value* v = graph->add_input(name, facts.dtype, facts.shape);
        v->facts = std::move(facts);
        scope[name] = v;
      } while (take(','));
      CARNOT_RETURN_IF_ERROR(expect(')', "after the inputs"));
    }
    CARNOT_RETURN_IF_ERROR(expect('{', "before the statements of a graph"));
    while (!take_keyword("return")) {
      if (take_keyword("metadata")) {
        CARNOT_ASSIGN(std::string key, quoted());
        CARNOT_RETURN_IF_ERROR(expect('=', "after the key"));
        CARNOT_ASSIGN(graph->metadata[key], quoted());
      } else if (peek('%')) {
        CARNOT_RETURN_IF_ERROR(statement(*graph, scope, depth));
      } else {
        return error("expected a statement or 'return'");
      }
    }
    std::vector<Value*> outputs;
    std::vector<std::string> names;
    while (!peek('}')) {
      CARNOT_ASSIGN(Value * v, use(scope));
      outputs.push_back(v);
      names.push_back(v->name);
      if (peek('"')) {
        CARNOT_ASSIGN(names.back(), quoted());
      }
      if (!take(',')) break;
    }
    CARNOT_RETURN_IF_ERROR(expect('}', "after the outputs"));
    graph->set_outputs(std::move(outputs), std::move(names));
    return graph;
  }

  ParseOptions options_;
  int64_t next_symbol_ = 0;
  int64_t filled_bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<Graph>> parse(std::string_view text, const ParseOptions& options) { return Parser(text, options).parse(); }

}  // namespace carnot::ir
