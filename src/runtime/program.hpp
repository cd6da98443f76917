// SPDX-License-Identifier: Apache-2.0
// A loaded engine: the image with every command resolved to a kernel instance or an operator. Immutable, shared by all sessions.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "backends/cpu/kernel.hpp"
#include "engine/reader.hpp"
#include "ops/operator.hpp"

namespace carnot::runtime {

struct LoadedCommand {
  const engine::Command* command = nullptr;
  std::unique_ptr<cpu::Kernel> kernel;  // null: reference operator
  ops::Operator op;
};

struct LoadedPlan {
  const engine::Plan* plan = nullptr;
  std::vector<LoadedCommand> commands;
  // Life of each buffer as command indices; -1 = never written. Buffers inside another count towards their root.
  std::vector<int32_t> first, last, root;
  std::vector<bool> is_output;
  std::vector<std::string> symbols;  // all that the plan's shapes mention
};

class LoadedEngine {
 public:
  // Unknown kernel ids and operators, and parameters that a kernel refuses, are errors that name the command.
  static Result<std::shared_ptr<const LoadedEngine>> create(engine::Image image);
  static Result<std::shared_ptr<const LoadedEngine>> load(const std::string& path);

  const engine::Program& program() const { return image_.program; }
  const std::vector<LoadedPlan>& plans() const { return plans_; }
  const std::byte* constants() const { return image_.constants.data(); }
  size_t constants_size() const { return image_.constants.size(); }
  // Commands, buffers, shapes and reasons as JSON.
  std::string describe_json() const;

 private:
  engine::Image image_;
  std::vector<LoadedPlan> plans_;
};

}  // namespace carnot::runtime
