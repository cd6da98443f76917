// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>

namespace carnot::log {
namespace {

struct Config {
  int level = 0;
  std::string channel;
};

const Config& config() {
  static const Config c = [] {
    Config parsed;
    if (const char* text = std::getenv("CARNOT_LOG")) {
      char* end = nullptr;
      parsed.level = static_cast<int>(std::strtol(text, &end, 10));
      if (end == text) parsed.channel = text;
    }
    return parsed;
  }();
  return c;
}

std::mutex mutex;
void (*sink)(void*, int, const char*, const char*) = nullptr;
void* sink_user = nullptr;

}  // namespace

bool enabled(int level, std::string_view channel) { return level <= config().level || (!config().channel.empty() && config().channel == channel); }

void write(int level, std::string_view channel, std::string_view message) {
  const std::lock_guard lock(mutex);
  if (sink)
    sink(sink_user, level, std::string(channel).c_str(), std::string(message).c_str());
  else
    std::fprintf(stderr, "[carnot %.*s] %.*s\n", static_cast<int>(channel.size()), channel.data(), static_cast<int>(message.size()), message.data());
}

void set_sink(void (*fn)(void*, int, const char*, const char*), void* user) {
  const std::lock_guard lock(mutex);
  sink = fn;
  sink_user = user;
}

}  // namespace carnot::log
