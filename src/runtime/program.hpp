// SPDX-License-Identifier: Apache-2.0
// A loaded engine: the image with every command resolved to a kernel instance or an operator. Immutable, shared by all sessions.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backends/cpu/kernel.hpp"
#include "engine/reader.hpp"
#include "ops/operator.hpp"
#include "runtime/on_device.hpp"

namespace carnot::runtime {

struct LoadedCommand {
  const engine::Command* command = nullptr;
  std::unique_ptr<cpu::Kernel> kernel;  // null: reference operator, copy, or the device's
  ops::Operator op;
  bool copies = false, on_device = false;
  // Copies between the caller and the device: these run by themselves, since the caller's memory is another in each run.
  bool copies_input = false;
  int32_t copies_output = -1;  // the output that it gives the caller, which nothing else touches
  int32_t complaint = -1;      // which of the engine's complaints is this command's; -1: it has none
};

struct LoadedPlan {
  const engine::Plan* plan = nullptr;
  std::vector<LoadedCommand> commands;
  // Life of each buffer as command indices; -1 = never written. Buffers inside another count towards their root.
  std::vector<int32_t> first, last, root;
  std::vector<bool> is_output;
  std::vector<bool> host_reads;      // by buffer: a command other than a copy reads its root on the host
  std::vector<bool> copied;          // by root: copies other than those of outputs touch it
  bool uses_device = false;
  std::vector<int32_t> output_copy;  // by output: the copy that gives it to the caller, -1: none
  std::vector<std::string> symbols;  // all that the plan's shapes mention
};

class LoadedEngine {
 public:
  // Unknown kernel ids and operators, and parameters that a kernel refuses, are errors that name the command.
  static Result<std::shared_ptr<const LoadedEngine>> create(engine::Image image);
  static Result<std::shared_ptr<const LoadedEngine>> load(const std::string& path);
  // Its part on a device: "" or "cuda" for the first one, "cuda:1". Null if the engine needs none. The error says what is missing.
  Result<std::shared_ptr<const OnDevice>> on_device(const std::string& name) const;

  const engine::Program& program() const { return image_.program; }
  const std::vector<LoadedPlan>& plans() const { return plans_; }
  const std::byte* constants() const { return image_.constants.data(); }
  size_t constants_size() const { return image_.constants.size(); }
  // Commands that may complain of an index when the device's work is waited for, by the number of the complaint.
  const std::vector<const engine::Command*>& complainers() const { return complainers_; }
  // Commands, buffers, shapes and reasons as JSON.
  std::string describe_json() const;

 private:
  engine::Image image_;
  std::vector<LoadedPlan> plans_;
  std::vector<const engine::Command*> complainers_;
  mutable std::mutex mutex_;
  mutable std::map<int, std::weak_ptr<const OnDevice>> on_device_;  // by ordinal, as long as a session uses it
};

}  // namespace carnot::runtime
