// SPDX-License-Identifier: Apache-2.0
// How a file stands, to see that it has changed without reading it.
#pragma once
#include <fmt/core.h>
#include <sys/stat.h>

#include <string>

namespace carnot::serve {

// Differs whenever the file was replaced or written; "" if there is none.
inline std::string file_state(const std::string& path) {
  struct stat s {};
  if (path.empty() || ::stat(path.c_str(), &s) != 0) return "";
  return fmt::format("{}:{}.{}:{}", s.st_ino, s.st_mtim.tv_sec, s.st_mtim.tv_nsec, s.st_size);
}

}  // namespace carnot::serve
