// SPDX-License-Identifier: Apache-2.0
#include "http/encoding.hpp"

#include <zlib.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace carnot::serve {
namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool same(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return (x >= 'A' && x <= 'Z' ? x + 32 : x) == y; });
}

}  // namespace

Encoding accepted_encoding(std::string_view accept) {
  Encoding best = Encoding::kIdentity;
  double best_weight = 0;
  while (!accept.empty()) {
    const size_t comma = std::min(accept.find(','), accept.size());
    std::string_view item = accept.substr(0, comma);
    accept.remove_prefix(std::min(comma + 1, accept.size()));
    double weight = 1;
    const size_t semicolon = item.find(';');
    if (semicolon != std::string_view::npos) {
      std::string_view q = trim(item.substr(semicolon + 1));
      if (q.starts_with("q=") && std::from_chars(q.data() + 2, q.data() + q.size(), weight).ec != std::errc())
        weight = 0;
      item = item.substr(0, semicolon);
    }
    item = trim(item);
    const Encoding encoding = same(item, "gzip") || same(item, "*") ? Encoding::kGzip
                              : same(item, "deflate")               ? Encoding::kDeflate
                                                                    : Encoding::kIdentity;
    // "identity" at the same weight is the cheaper answer, but a client that lists more wants it small.
    if (encoding != Encoding::kIdentity && weight > best_weight) {
      best = encoding;
      best_weight = weight;
    }
    if (same(item, "identity") && weight > best_weight) {
      best = Encoding::kIdentity;
      best_weight = weight;
    }
  }
  return best;
}

std::string_view encoding_name(Encoding encoding) { return encoding == Encoding::kGzip ? "gzip" : "deflate"; }

Or<Buffer> decode(const Buffer& body, std::string_view name, size_t limit, size_t before) {
  name = trim(name);
  const bool gzip = same(name, "gzip");
  if (!gzip && !same(name, "deflate")) return fault(Kind::kUnsupported, "Unsupported compression type");
  z_stream z{};
  if (inflateInit2(&z, gzip ? 15 + 16 : 15) != Z_OK) return fault(Kind::kUnavailable, "no memory to unpack the body");
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  z.avail_in = static_cast<uInt>(body.size());
  size_t size = std::min(limit, std::max<size_t>(body.size() * 4, 4096));
  Buffer out(size, before);
  size_t filled = 0;
  int state = Z_OK;
  while (state == Z_OK) {
    if (filled == out.size()) {
      if (filled >= limit) break;
      Buffer larger(std::min(limit, filled * 2), before);
      std::memcpy(larger.data(), out.data(), filled);
      out = std::move(larger);
    }
    z.next_out = reinterpret_cast<Bytef*>(out.data() + filled);
    z.avail_out = static_cast<uInt>(std::min<size_t>(out.size() - filled, 1 << 30));
    const uInt room = z.avail_out;
    state = inflate(&z, Z_NO_FLUSH);
    filled += room - z.avail_out;
    if (state == Z_BUF_ERROR && z.avail_in > 0 && filled == out.size()) state = Z_OK;  // only the room was short
  }
  inflateEnd(&z);
  if (state == Z_OK)
    return fault(Kind::kTooLarge, "the unpacked body is larger than {} bytes, the limit of this server (--max-body)",
                 limit);
  if (state != Z_STREAM_END) return invalid("the body is no {} data", gzip ? "gzip" : "deflate (zlib)");
  out.shrink(filled);
  return out;
}

Buffer encode(const Buffer& body, Encoding encoding) {
  z_stream z{};
  // Level 1: on loopback and in a data centre the time to pack counts more than the last per cent.
  if (deflateInit2(&z, 1, Z_DEFLATED, encoding == Encoding::kGzip ? 15 + 16 : 15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  Buffer out(deflateBound(&z, body.size()));
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
  z.avail_in = static_cast<uInt>(body.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.shrink(z.total_out);
  deflateEnd(&z);
  return out;
}

}  // namespace carnot::serve
