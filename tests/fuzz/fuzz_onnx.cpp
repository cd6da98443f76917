// SPDX-License-Identifier: Apache-2.0
// ONNX bytes -> importer. What it accepts must be a graph that the verifier accepts too.
#include <cstdio>

#include "base/result.hpp"
#include "fuzz.hpp"
#include "importers/onnx/import.hpp"
#include "ir/verify.hpp"

namespace carnot::fuzz {

void try_bytes(std::span<const std::byte> bytes) {
  auto graph = onnx::import_onnx_bytes(bytes);
  if (!graph) return;
  if (const Status good = ir::verify(**graph); !good) {
    std::fprintf(stderr, "the importer gave a graph that does not verify: %s\n", good.message().c_str());
    CARNOT_CHECK(good.ok());
  }
}

void repair(std::vector<std::byte>&) {}

}  // namespace carnot::fuzz
