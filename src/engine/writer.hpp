// SPDX-License-Identifier: Apache-2.0
// Writes an engine file. The same program and constants give the same bytes.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/plan.hpp"

namespace carnot::engine {

// The constant section, piece by piece; pieces go to the offsets that the program's buffers name.
struct ConstantPiece {
  uint64_t offset;
  const void* data;
  size_t size;
  std::shared_ptr<const void> owner = {};  // let go as soon as the piece is written
};

Result<std::vector<std::byte>> write_bytes(const Program& program, std::vector<ConstantPiece> constants,
                                           std::span<const std::byte> code = {});
// Writes to a temporary file beside `path` and renames it: a stopped build leaves nothing half-written.
Status write_file(const std::string& path, const Program& program, std::vector<ConstantPiece> constants);
Status write_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace carnot::engine
