// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/libraries/library.hpp"

#include <dlfcn.h>

#include <string>

namespace carnot::cuda {

Result<void*> open_library(const LibraryNames& names) {
  std::string tried;
  for (const char* file : names.files) {
    for (const std::string& path : {std::string(file), std::string("/usr/local/cuda/lib64/") + file}) {
      if (void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
      const char* reason = dlerror();
      // The loader's own search says it all; a file that is there but does not load has its own reason.
      if (path == file && reason) tried += fmt::format("{}{}", tried.empty() ? "" : "; ", reason);
    }
  }
  return fail(Code::kNotFound, "{} was not found ({}): {}, and let LD_LIBRARY_PATH name its folder if it is not a standard one", names.what, tried,
              names.remedy);
}

Result<void*> find_function(void* library, const LibraryNames& names, const char* function) {
  if (void* found = dlsym(library, function)) return found;
  return fail(Code::kUnsupported, "{} has no function '{}', it is too old: {}", names.what, function, names.remedy);
}

}  // namespace carnot::cuda
