// SPDX-License-Identifier: Apache-2.0
// Reads what numpy.savez wrote: a ZIP file of uncompressed .npy arrays.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace npz {

struct Array {
  std::string dtype;  // as numpy writes it: "<f4", "|u1", "<i8"
  std::vector<int64_t> dims;
  std::vector<char> bytes;

  // The elements. T must have the dtype's size, which `expected` names.
  template <typename T>
  std::vector<T> as(const std::string& expected) const;
};

// The arrays by name; throws std::runtime_error with the path and the reason.
std::map<std::string, Array> load(const std::string& path);

}  // namespace npz
