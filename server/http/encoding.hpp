// SPDX-License-Identifier: Apache-2.0
// Content-Encoding: gzip and deflate (with zlib's header), both ways.
#pragma once
#include <string_view>

#include "core/fault.hpp"
#include "http/message.hpp"

namespace carnot::serve {

enum class Encoding { kIdentity, kGzip, kDeflate };

// What the client likes best of what is there ("gzip;q=0.5, deflate").
Encoding accepted_encoding(std::string_view accept_encoding);
// A name for Content-Encoding.
std::string_view encoding_name(Encoding encoding);
// The body unpacked; `before` as in Buffer. Refused: unknown encodings, damaged data, more than `limit` bytes.
Or<Buffer> decode(const Buffer& body, std::string_view content_encoding, size_t limit, size_t before);
Buffer encode(const Buffer& body, Encoding encoding);

}  // namespace carnot::serve
