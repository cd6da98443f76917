// SPDX-License-Identifier: Apache-2.0
// Engine bytes -> reader. What the reader accepts must be consistent enough to be looked at: every index in range.
#include <xxhash.h>

#include <cstring>

#include "base/result.hpp"
#include "engine/reader.hpp"
#include "fuzz.hpp"

namespace carnot::fuzz {

void try_bytes(std::span<const std::byte> bytes) {
  auto image = engine::read_bytes(bytes, nullptr);
  if (!image) return;
  const auto in_range = [](const std::vector<int32_t>& list, size_t size) {
    for (const int32_t index : list) CARNOT_CHECK(index < static_cast<int64_t>(size));
  };
  for (const engine::Plan& plan : image->program.plans) {
    in_range(plan.inputs, plan.buffers.size());
    in_range(plan.outputs, plan.buffers.size());
    for (const engine::Command& command : plan.commands) {
      in_range(command.inputs, plan.buffers.size());
      in_range(command.outputs, plan.buffers.size());
      in_range(command.bodies, image->program.plans.size());
    }
  }
}

// Checksums would turn nearly every mutation away at the door.
void repair(std::vector<std::byte>& bytes) {
  engine::Header header;
  if (bytes.size() < sizeof header) return;
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto hash = [&](uint64_t offset, uint64_t size, uint64_t& into) {
    if (offset <= bytes.size() && size <= bytes.size() - offset) into = XXH3_64bits(bytes.data() + offset, size);
  };
  hash(header.metadata_offset, header.metadata_size, header.metadata_hash);
  hash(header.constants_offset, header.constants_size, header.constants_hash);
  std::memcpy(bytes.data(), &header, sizeof header);
}

}  // namespace carnot::fuzz
