// SPDX-License-Identifier: Apache-2.0
// Engines of ONNX files, made by libcarnot_compiler.so if it lies beside this library, and kept in a folder.
#pragma once
#include "failure.hpp"

namespace carnot::triton {

// *engine becomes the path of an engine of `model`: an earlier one, if neither the model nor the compiler has changed
// since, or a new one in `folder` ("": CARNOT_CACHE_DIR, else carnot below XDG_CACHE_HOME or ~/.cache).
MaybeFailure engine_of(const std::string& model, std::string folder, const std::string& device, std::string* engine);

}  // namespace carnot::triton
