// SPDX-License-Identifier: Apache-2.0
// The vendor's libraries are opened when something first needs them, never linked: an engine that does not use cuDNN runs without it.
#pragma once
#include <initializer_list>
#include <string_view>

#include "base/result.hpp"

namespace carnot::cuda {

// What a library is called and how one gets it, for messages.
struct LibraryNames {
  std::string_view what;                           // "cuBLASLt (matrix products)"
  std::initializer_list<const char*> files;        // tried in this order
  std::string_view remedy;                         // "install libcublas-13-0 (Debian) or nvidia-cublas (PyPI)"
};

// dlopen's handle of the first file that opens; it stays open. Looked for by the loader's own search (LD_LIBRARY_PATH, ld.so.cache, what
// the process has open already), then in the toolkit's usual folder. The error says what is missing and how to install it.
Result<void*> open_library(const LibraryNames& names);
// A function of an open library. The error names the library's version as too old.
Result<void*> find_function(void* library, const LibraryNames& names, const char* function);

}  // namespace carnot::cuda

// A table of functions: CARNOT_LIBRARY_TABLE(Driver, CARNOT_DRIVER_FUNCTIONS) declares struct Driver with a member per X(name) of
// the list, each of the type that the vendor's header gives it; CARNOT_LIBRARY_LOOKUP fills `table` from `library`.
#define CARNOT_LIBRARY_MEMBER(name) decltype(&::name) name = nullptr;
#define CARNOT_LIBRARY_TABLE(Table, LIST) \
  struct Table {                          \
    LIST(CARNOT_LIBRARY_MEMBER)           \
  };
// Names that the header maps to a newer version (cuEventDestroy_v2) are looked up as such.
#define CARNOT_LIBRARY_TEXT_(name) #name
#define CARNOT_LIBRARY_TEXT(name) CARNOT_LIBRARY_TEXT_(name)
#define CARNOT_LIBRARY_LOOKUP(name)                                                                                  \
  {                                                                                                                  \
    CARNOT_ASSIGN(void* found, ::carnot::cuda::find_function(library, names, CARNOT_LIBRARY_TEXT(name)));            \
    table.name = reinterpret_cast<decltype(table.name)>(found);                            \
  }
