// SPDX-License-Identifier: Apache-2.0
// numpy's files: .npy (format 1.0 to 3.0) read, .npz written. Little endian, C order.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/tensor.hpp"

namespace carnot::tool {

Result<Constant> read_npy(const std::string& path);
// Uncompressed; nothing half-written is left when it fails.
Status write_npz(const std::string& path, const std::vector<std::pair<std::string, TensorView>>& arrays);

}  // namespace carnot::tool
