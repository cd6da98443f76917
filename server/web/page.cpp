// SPDX-License-Identifier: Apache-2.0
#include "web/page.hpp"

#include <fmt/core.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "web_page.inc"

namespace carnot::serve {
namespace {

// "'sha256-...'" of what stands between <name> and </name>, as browsers count it.
std::string source_of(std::string_view page, std::string_view name) {
  const size_t begin = page.find(fmt::format("<{}>", name)) + name.size() + 2;
  const std::string_view text = page.substr(begin, page.find(fmt::format("</{}>", name)) - begin);
  unsigned char digest[SHA256_DIGEST_LENGTH], base64[4 * (SHA256_DIGEST_LENGTH + 2) / 3 + 1];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  EVP_EncodeBlock(base64, digest, sizeof digest);
  return fmt::format("'sha256-{}'", reinterpret_cast<const char*>(base64));
}

}  // namespace

HttpReply web_page() {
  static const std::string headers = fmt::format(
      "Content-Security-Policy: default-src 'none'; script-src {}; style-src {}; connect-src 'self'; base-uri 'none'; "
      "form-action 'none'; frame-ancestors 'none'\r\n"
      "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-cache\r\n",
      source_of(kPage, "script"), source_of(kPage, "style"));
  return {.content_type = "text/html; charset=utf-8", .headers = headers, .body = Buffer::of(kPage)};
}

}  // namespace carnot::serve
