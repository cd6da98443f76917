// SPDX-License-Identifier: Apache-2.0
// From the assigned graph to the program: buffers, commands, constants. The last phase.
#pragma once
#include <map>
#include <memory>
#include <vector>

#include "engine/plan.hpp"
#include "engine/writer.hpp"
#include "ir/graph.hpp"
#include "tactics/tactic.hpp"

namespace carnot::compiler {

// The choice for every node, bodies of control flow included (bodies of groups are inside their group's command).
using Assignment = std::map<const ir::Node*, tactics::Choice>;

struct BuiltProgram {
  engine::Program program;
  std::vector<engine::ConstantPiece> constants;
  std::vector<std::string> sources;  // of the code that commands name by index
  std::vector<std::string> value_sources;  // by buffer of plan 0: ir::Value::source
};

// Values lie where the command that writes them runs; where another place reads them, a copy is made once.
Result<BuiltProgram> build_program(const ir::Graph& graph, const Assignment& assignment, const tactics::Target& target = {});

}  // namespace carnot::compiler
