// SPDX-License-Identifier: Apache-2.0
// From an ONNX file to a graph. Weights stay where they are: constants point into the mapped file wherever their bytes are aligned.
//
//   CARNOT_ASSIGN(auto graph, onnx::import_onnx_file("model.onnx", {}));
//
// Dims: a named dim becomes a symbol of that name (characters that no symbol may have become '_'), an unnamed one
// "<input>_<axis>", and so does one along which the graph takes its input apart by Gathers (a stack of caches). Declared shapes of outputs and of inner values are not trusted: everything is inferred.
// Every error names the file and, where there is one, the node with its operator. Both functions may be called from any thread.
#pragma once
#include <map>
#include <memory>
#include <span>
#include <string>

#include "ir/graph.hpp"

namespace carnot::onnx {

struct ImportOptions {
  // Input name -> dims that replace the model's; -1 keeps the model's dim.
  std::map<std::string, Dims> shapes = {};
  // External data may lie in the model's folder or below, or below this folder. Symbolic links are followed before the check.
  std::string external_root = {};
  // For models that come as bytes: the folder external data is looked up in. Empty: such data is refused.
  std::string folder = {};
  // What errors call the model when it comes as bytes.
  std::string name = "model";
};

Result<std::unique_ptr<ir::Graph>> import_onnx_file(const std::string& path, const ImportOptions& options = {});
// `owner` keeps the bytes alive as long as constants point into them; without one all constants are copied.
Result<std::unique_ptr<ir::Graph>> import_onnx_bytes(std::span<const std::byte> bytes, const ImportOptions& options = {},
                                                     std::shared_ptr<const void> owner = nullptr);

}  // namespace carnot::onnx
