// SPDX-License-Identifier: Apache-2.0
// Text -> graph -> verifier -> text -> graph: no crash, and whatever parses prints and parses to the same text again.
#include <string_view>

#include "base/result.hpp"
#include "fuzz.hpp"
#include "ir/text.hpp"
#include "ir/verify.hpp"

namespace carnot::fuzz {

void try_bytes(std::span<const std::byte> bytes) {
  auto graph = ir::parse(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  if (!graph) return;
  if (!ir::verify(**graph)) return;
  const std::string printed = ir::print(**graph);
  auto again = ir::parse(printed);
  CARNOT_CHECK(again.ok());
  CARNOT_CHECK(ir::print(**again) == printed);
}

void repair(std::vector<std::byte>&) {}

}  // namespace carnot::fuzz
