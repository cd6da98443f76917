// SPDX-License-Identifier: Apache-2.0
// Named values: attributes of operators and parameters of kernels. Both are stored in engines in the same way.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/dtype.hpp"

namespace carnot {

// Booleans are int64 0/1. In text a dtype prints as its name, a string in quotes, a list in brackets.
using Attr = std::variant<int64_t, double, std::string, std::vector<int64_t>, std::vector<double>, std::vector<std::string>, DType>;
using Attrs = std::vector<std::pair<std::string, Attr>>;

// The value of `name` if it is there and has type T, else null.
template <typename T>
const T* find_attr(const Attrs& attrs, std::string_view name) {
  for (const auto& [key, value] : attrs)
    if (key == name) return std::get_if<T>(&value);
  return nullptr;
}
template <typename T>
T attr_or(const Attrs& attrs, std::string_view name, T otherwise) {
  const T* found = find_attr<T>(attrs, name);
  return found ? *found : std::move(otherwise);
}

}  // namespace carnot
