// SPDX-License-Identifier: Apache-2.0
// Between the public classes and the graph. Private to this folder.
#pragma once
#include "carnot/network.hpp"
#include "compiler/compile.hpp"
#include "ir/builder.hpp"

namespace carnot {

struct Network::Impl {
  std::unique_ptr<ir::Graph> graph;  // null once it became a body
  std::vector<std::pair<std::string, ir::Value*>> outputs;
  size_t layers = 0;
};

namespace network_detail {

[[noreturn]] void raise(const Error& error);
template <typename T>
T unwrap(Result<T> result) {
  if (!result) raise(result.error());
  return std::move(*result);
}
compiler::BuildOptions to_options(const BuildSettings& settings);

}  // namespace network_detail
}  // namespace carnot
