// SPDX-License-Identifier: Apache-2.0
#include "core/log.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include "core/proto_json.hpp"

namespace carnot::serve::log {
namespace {

constexpr const char* kNames[] = {"error", "warning", "info", "verbose"};

std::string now_text(bool iso8601) {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count() % 1'000'000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[64];
  std::strftime(text, sizeof text, iso8601 ? "%Y-%m-%dT%H:%M:%S" : "%m%d %H:%M:%S", &utc);
  return fmt::format("{}.{:06d}{}", text, micros, iso8601 ? "Z" : "");
}

// A client chose part of the text: line ends must not make lines, nor other bytes a log that readers take for broken.
void append_plain(std::string_view text, std::string* line) {
  while (!text.empty()) {
    const size_t n = utf8_length(text);
    if (n > 1)
      line->append(text.substr(0, n));
    else
      *line += n == 0 ? '?' : static_cast<unsigned char>(text[0]) < 0x20 || text[0] == 0x7F ? ' ' : text[0];
    text.remove_prefix(std::max<size_t>(n, 1));
  }
}

}  // namespace

Settings& settings() {
  static Settings s;
  return s;
}

bool enabled(Level level) {
  const Settings& s = settings();
  switch (level) {
    case Level::kError:
      return s.error;
    case Level::kWarning:
      return s.warning;
    case Level::kInfo:
      return s.info;
    case Level::kVerbose:
      return s.verbose > 0;
  }
  return true;
}

void write(Level level, std::string_view text, const std::vector<Field>& fields) {
  const Settings& s = settings();
  std::string line;
  if (s.json) {
    line =
        fmt::format("{{\"time\":\"{}\",\"level\":\"{}\",\"message\":", now_text(true), kNames[static_cast<int>(level)]);
    append_json_string(text, &line);
    for (const Field& field : fields) {
      line += fmt::format(",\"{}\":", field.key);
      if (const auto* value = std::get_if<std::string>(&field.value))
        append_json_string(*value, &line);
      else
        line += std::to_string(std::get<int64_t>(field.value));
    }
    line += "}\n";
  } else {
    line = fmt::format("{} {:7} ", now_text(s.iso8601), kNames[static_cast<int>(level)]);
    append_plain(text, &line);
    for (const Field& field : fields) {
      line += fmt::format(" {}=", field.key);
      if (const auto* value = std::get_if<std::string>(&field.value)) {
        // With a blank in it, or with none at all, it would not be told from what follows.
        const bool quote = value->empty() || value->find_first_of(" \"=") != value->npos;
        if (quote)
          append_json_string(*value, &line);
        else
          append_plain(*value, &line);
      } else {
        line += std::to_string(std::get<int64_t>(field.value));
      }
    }
    line += "\n";
  }
  // One write a line, so that lines of several threads do not mix. Nobody to tell when standard error is gone.
  if (::write(2, line.data(), line.size()) < 0) return;
}

}  // namespace carnot::serve::log
