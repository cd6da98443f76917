// SPDX-License-Identifier: Apache-2.0
// Kernels to test: every node of the operator text tests (twice: with numbers as dims, and with symbols), and of the graphs in this
// folder after the compiler's passes, for every CUDA tactic that takes it and launches generated text.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "ir/graph.hpp"
#include "tactics/tactic.hpp"

namespace carnot::test {

struct Trial {
  std::string name;  // file:line, how, tactic
  std::shared_ptr<ir::Graph> graph;  // keeps the node
  const ir::Node* node = nullptr;
  tactics::Candidate candidate;
  std::vector<std::optional<Constant>> inputs;   // the node's operands
  std::vector<std::optional<Constant>> expected;  // none: not asked for
  double tolerance = 0;  // 0: the dtype's
};

struct Collection {
  std::vector<Trial> trials;
  std::vector<std::string> errors;            // a tactic that accepted and then failed
  std::map<std::string, int> refused;         // operators that no CUDA tactic takes: how many
};

Collection collect(const std::string& ops_folder, const std::string& own_folder, const std::string& filter);

}  // namespace carnot::test
