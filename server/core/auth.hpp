// SPDX-License-Identifier: Apache-2.0
// Bearer tokens: who may ask for what. Both protocols ask here with the parsed route, never with the text of a URL.
#pragma once
#include <array>
#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "core/fault.hpp"

namespace carnot::serve {

enum class Access {
  kNothing,  // the page without its data: always open
  kProbe,    // health, readiness and metrics: open unless the options say otherwise
  kUse,      // inference, and reading what there is
  kControl,  // loading and unloading, shared memory, settings
};

struct AuthOptions {
  std::string token_file;        // "": no token is asked for
  std::string admin_token_file;  // "": control asks for what use asks for
  bool probes_too = false;
};

class Auth {
 public:
  // Throws carnot::Exception if a file cannot be read or holds no token: a server that asks for tokens must not run
  // without them.
  explicit Auth(AuthOptions options);

  // `authorization`: the value of that header, "Bearer TOKEN". Takes the same time whichever token is wrong, and where.
  MaybeFault check(Access access, std::string_view authorization);

 private:
  using Digest = std::array<unsigned char, 32>;
  // Tokens of a file, one a line; read again when the file changes.
  struct File {
    std::string path, state;
    std::vector<Digest> tokens;
    void read();
    void refresh();
    bool holds(const Digest& digest) const;
  };

  const bool probes_too_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point looked_;
  File use_, admin_;
};

}  // namespace carnot::serve
