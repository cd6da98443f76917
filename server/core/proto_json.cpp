// SPDX-License-Identifier: Apache-2.0
#include "core/proto_json.hpp"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>

#include <charconv>
#include <cmath>

namespace carnot::serve {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

template <typename T>
void append_number(T value, std::string* out) {
  char text[32];
  auto [end, error] = std::to_chars(text, text + sizeof text, value);
  out->append(text, end);
}

void append_real(double value, std::string* out) {
  if (std::isfinite(value))
    append_number(value, out);
  else
    out->append(std::isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
}

void print(const Message& message, std::string* out);

// One value of a field; index -1: the field is singular.
void print_value(const Message& m, const Reflection& r, const FieldDescriptor* f, int index, std::string* out) {
#define CARNOT_VALUE(type) (index < 0 ? r.Get##type(m, f) : r.GetRepeated##type(m, f, index))
  switch (f->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return append_number(CARNOT_VALUE(Int32), out);
    case FieldDescriptor::CPPTYPE_INT64:
      return append_number(CARNOT_VALUE(Int64), out);
    case FieldDescriptor::CPPTYPE_UINT32:
      return append_number(CARNOT_VALUE(UInt32), out);
    case FieldDescriptor::CPPTYPE_UINT64:
      return append_number(CARNOT_VALUE(UInt64), out);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return append_real(CARNOT_VALUE(Double), out);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return append_real(CARNOT_VALUE(Float), out);
    case FieldDescriptor::CPPTYPE_BOOL:
      out->append(CARNOT_VALUE(Bool) ? "true" : "false");
      return;
    case FieldDescriptor::CPPTYPE_ENUM:
      return append_json_string(CARNOT_VALUE(Enum)->name(), out);
    case FieldDescriptor::CPPTYPE_STRING:
      return append_json_string(CARNOT_VALUE(String), out);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return print(CARNOT_VALUE(Message), out);
  }
#undef CARNOT_VALUE
}

void print_map(const Message& m, const Reflection& r, const FieldDescriptor* f, std::string* out) {
  const FieldDescriptor* key = f->message_type()->map_key();
  const FieldDescriptor* value = f->message_type()->map_value();
  out->push_back('{');
  for (int i = 0; i < r.FieldSize(m, f); ++i) {
    const Message& entry = r.GetRepeatedMessage(m, f, i);
    if (i) out->push_back(',');
    const bool text = key->cpp_type() == FieldDescriptor::CPPTYPE_STRING;
    if (!text) out->push_back('"');
    print_value(entry, *entry.GetReflection(), key, -1, out);
    if (!text) out->push_back('"');
    out->push_back(':');
    print_value(entry, *entry.GetReflection(), value, -1, out);
  }
  out->push_back('}');
}

void print(const Message& m, std::string* out) {
  const Reflection& r = *m.GetReflection();
  const auto* descriptor = m.GetDescriptor();
  out->push_back('{');
  bool first = true;
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* f = descriptor->field(i);
    if (f->has_presence() && !r.HasField(m, f)) continue;
    if (!first) out->push_back(',');
    first = false;
    append_json_string(f->name(), out);
    out->push_back(':');
    if (f->is_map()) {
      print_map(m, r, f, out);
    } else if (f->is_repeated()) {
      out->push_back('[');
      for (int k = 0; k < r.FieldSize(m, f); ++k) {
        if (k) out->push_back(',');
        print_value(m, r, f, k, out);
      }
      out->push_back(']');
    } else {
      print_value(m, r, f, -1, out);
    }
  }
  out->push_back('}');
}

class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (text.empty()) text = fmt::format("line {}, column {}: {}", line + 1, column + 1, message);
  }
  std::string text;
};

}  // namespace

std::string to_json(const Message& message) {
  std::string out;
  print(message, &out);
  return out;
}

MaybeFault from_json(std::string_view text, Message* message) {
  const auto status = google::protobuf::util::JsonStringToMessage({text.data(), text.size()}, message);
  if (status.ok()) return std::nullopt;
  return invalid("{}", std::string(status.message()));
}

MaybeFault from_text(const std::string& text, Message* message) {
  google::protobuf::TextFormat::Parser parser;
  FirstError error;
  parser.RecordErrorsTo(&error);
  parser.SetRecursionLimit(100);
  if (parser.ParseFromString(text, message)) return std::nullopt;
  return invalid("{}", error.text.empty() ? "not a text-format message" : error.text);
}

size_t utf8_length(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto tail = [&](size_t n) {
    if (text.size() < n) return false;
    for (size_t i = 1; i < n; ++i)
      if ((p[i] & 0xC0) != 0x80) return false;
    return true;
  };
  if (p[0] < 0x80) return 1;
  if (p[0] >= 0xC2 && p[0] < 0xE0) return tail(2) ? 2 : 0;
  if (p[0] >= 0xE0 && p[0] < 0xF0) {
    if (!tail(3) || (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F)) return 0;
    return 3;
  }
  if (p[0] >= 0xF0 && p[0] < 0xF5) {
    if (!tail(4) || (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F)) return 0;
    return 4;
  }
  return 0;
}

void append_json_string(std::string_view text, std::string* out) {
  out->push_back('"');
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  for (size_t i = 0; i < text.size();) {
    const size_t n = utf8_length(text.substr(i));
    if (n == 0) {
      out->append("\xEF\xBF\xBD");
      ++i;
    } else if (n > 1) {
      out->append(text, i, n);
      i += n;
    } else {
      const unsigned char c = p[i++];
      if (c == '"' || c == '\\') {
        out->push_back('\\');
        out->push_back(static_cast<char>(c));
      } else if (c == '\n') {
        out->append("\\n");
      } else if (c < 0x20 || c == 0x7F) {
        fmt::format_to(std::back_inserter(*out), "\\u{:04x}", static_cast<unsigned>(c));
      } else {
        out->push_back(static_cast<char>(c));
      }
    }
  }
  out->push_back('"');
}

}  // namespace carnot::serve
