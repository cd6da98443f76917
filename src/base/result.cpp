// SPDX-License-Identifier: Apache-2.0
#include "base/result.hpp"

#include <cstdio>
#include <cstdlib>

namespace carnot {

void check_failed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "carnot: internal error at %s:%d: %s\n", file, line, condition);
  std::abort();
}

}  // namespace carnot
