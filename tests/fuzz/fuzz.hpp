// SPDX-License-Identifier: Apache-2.0
// A fuzz target is one function; driver.cpp is its main.
//
//   fuzz_ir SEEDS...                  feeds each file, and 300 mutations of each (what `make test` runs)
//   fuzz_ir --seconds 60 SEEDS...     mutates for a minute, keeping what reaches new code (preset "fuzz")
//
// SEEDS are files or folders. The input being tried stands in fuzz_NAME.input until it has passed, so a crash leaves its cause.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

namespace carnot::fuzz {

// Must return, whatever the bytes are, without a sanitizer's complaint. Defined once in each target.
void try_bytes(std::span<const std::byte> bytes);

// Called on each mutated input before it is tried: a place to repair checksums, so that mutations get past them.
void repair(std::vector<std::byte>& bytes);

}  // namespace carnot::fuzz
