// SPDX-License-Identifier: Apache-2.0
// Text -> timing cache -> text -> timing cache: no crash, and whatever parses prints and parses to the same again.
#include <string_view>

#include "base/result.hpp"
#include "compiler/timing_cache.hpp"
#include "fuzz.hpp"

namespace carnot::fuzz {

void try_bytes(std::span<const std::byte> bytes) {
  using compiler::TimingCache;
  auto cache = TimingCache::parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "a machine");
  if (!cache) return;
  const std::string printed = cache->str();
  auto again = TimingCache::parse(printed, "a machine");
  CARNOT_CHECK(again.ok());
  CARNOT_CHECK(again->str() == printed);
}

void repair(std::vector<std::byte>&) {}

}  // namespace carnot::fuzz
