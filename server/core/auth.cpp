// SPDX-License-Identifier: Apache-2.0
#include "core/auth.hpp"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <fstream>

#include "carnot/carnot.hpp"
#include "core/file_state.hpp"
#include "core/log.hpp"

namespace carnot::serve {
namespace {

constexpr size_t kLeastToken = 16;  // characters; what is shorter can be guessed
constexpr auto kRefresh = std::chrono::seconds(2);

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  return first == text.npos ? "" : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// "Bearer TOKEN", the word in any case. Empty: there is none.
std::string_view token_of(std::string_view authorization) {
  constexpr std::string_view kWord = "bearer ";
  if (authorization.size() <= kWord.size()) return "";
  for (size_t i = 0; i < kWord.size(); ++i)
    if ((authorization[i] | 0x20) != kWord[i]) return "";
  return trimmed(authorization.substr(kWord.size()));
}

}  // namespace

// Only digests are kept: comparing two of the same length tells nothing of the token's.
void Auth::File::read() {
  state = file_state(path);
  std::ifstream in(path);
  std::vector<Digest> found;
  size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    const std::string_view token = trimmed(line);
    if (token.empty() || token.front() == '#') continue;
    if (token.size() < kLeastToken)
      throw Exception(CARNOT_INVALID_ARGUMENT, fmt::format("token file '{}', line {}: a token must have {} characters",
                                                           path, number, kLeastToken));
    Digest& digest = found.emplace_back();
    SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  }
  if (found.empty())
    throw Exception(CARNOT_INVALID_ARGUMENT,
                    fmt::format("token file '{}' cannot be read or holds no token (one a line)", path));
  tokens = std::move(found);
}

void Auth::File::refresh() {
  if (path.empty() || file_state(path) == state) return;
  try {
    read();
    log::info("token file has changed: {} tokens", tokens.size());
  } catch (const Exception& e) {
    log::error("{}; the tokens from before stay valid", e.what());
  }
}

bool Auth::File::holds(const Digest& digest) const {
  bool found = false;
  for (const Digest& known : tokens) found |= CRYPTO_memcmp(known.data(), digest.data(), digest.size()) == 0;
  return found;
}

Auth::Auth(AuthOptions options) : probes_too_(options.probes_too), looked_(std::chrono::steady_clock::now()) {
  use_.path = std::move(options.token_file);
  admin_.path = std::move(options.admin_token_file);
  if (!use_.path.empty()) use_.read();
  if (!admin_.path.empty()) admin_.read();
}

MaybeFault Auth::check(Access access, std::string_view authorization) {
  const bool asks_admin = access == Access::kControl && !admin_.path.empty();
  if (access == Access::kNothing) return std::nullopt;
  if (access == Access::kProbe && !probes_too_) return std::nullopt;
  if (!asks_admin && use_.path.empty()) return std::nullopt;
  const std::string_view token = token_of(authorization);
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  std::lock_guard lock(mutex_);
  if (const auto now = std::chrono::steady_clock::now(); now - looked_ >= kRefresh) {
    looked_ = now;
    use_.refresh();
    admin_.refresh();
  }
  const bool user = use_.holds(digest), admin = admin_.holds(digest);
  if (admin || (user && !asks_admin)) return std::nullopt;
  if (user) return fault(Kind::kForbidden, "this token may not change the server: an administrator's is needed");
  if (token.empty()) return fault(Kind::kUnauthenticated, "a token is needed: send 'Authorization: Bearer TOKEN'");
  return fault(Kind::kUnauthenticated, "the token is not valid");
}

}  // namespace carnot::serve
