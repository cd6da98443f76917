// SPDX-License-Identifier: Apache-2.0
// Reads an engine file: maps it, checks it (version, sizes, hashes, FlatBuffers verifier, every index), and gives the program and
// the constants in place. The bytes are hostile until this has said yes.
#pragma once
#include <memory>
#include <span>
#include <string>

#include "base/result.hpp"
#include "engine/plan.hpp"

namespace carnot::engine {

struct Image {
  Program program;
  std::span<const std::byte> constants;    // 64-byte aligned
  std::span<const std::byte> code;         // 64-byte aligned; Program::code lies inside
  std::shared_ptr<const void> owner;       // keeps the constants alive
};

Result<Image> read_file(const std::string& path);
// Uses the bytes in place when they are 64-byte aligned, else copies; `owner` may be null if the caller keeps them alive.
Result<Image> read_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> owner);
// True if the bytes begin like an engine file.
bool looks_like_engine(std::span<const std::byte> bytes);

}  // namespace carnot::engine
