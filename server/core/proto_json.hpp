// SPDX-License-Identifier: Apache-2.0
// Messages as the HTTP side prints them: field names as they stand in the .proto, enums by name, 64-bit integers as
// plain numbers (protobuf's own printer writes strings), fields without presence printed even where they hold the
// default.
#pragma once
#include <string>
#include <string_view>

#include "core/fault.hpp"

namespace google::protobuf {
class Message;
}

namespace carnot::serve {

std::string to_json(const google::protobuf::Message& message);
// JSON text, names in either spelling, numbers also as strings. The fault says where it went wrong.
MaybeFault from_json(std::string_view text, google::protobuf::Message* message);
// Protobuf's text format (config.pbtxt).
MaybeFault from_text(const std::string& text, google::protobuf::Message* message);
// Bytes of the character that `text` (not empty) begins with; 0 if that is not UTF-8.
size_t utf8_length(std::string_view text);
// Appends a quoted JSON string. Bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string_view text, std::string* out);

}  // namespace carnot::serve
