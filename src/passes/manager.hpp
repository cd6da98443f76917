// SPDX-License-Identifier: Apache-2.0
// Runs passes: leaves out those that CARNOT_DISABLE_PASSES names, times, verifies and prints on request, removes dead nodes and
// merges equal ones after a pass that changed something. When a pass fails, or leaves a graph that the verifier refuses, the
// graph before it is written to a file and the error names the command that repeats the failure.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "passes/pass.hpp"

namespace carnot::passes {

struct Phase {
  std::string_view name;
  std::vector<std::string_view> passes;
  // The list is repeated until a round changes nothing, at most so often.
  int rounds = 1;
};

struct PassReport {
  std::string_view phase, pass;
  double milliseconds = 0;
  bool changed = false;
  size_t nodes = 0;  // after the pass, bodies included
};

struct ManagerOptions {
  PassContext context;
  std::string stop_after;  // a phase; empty: run all
  // Not set: from the environment (see base/env.inc).
  std::optional<bool> verify;
  // Where CARNOT_PRINT_AFTER prints; default stderr.
  std::function<void(std::string_view text)> print;
  // Asked before every pass; true stops with Code::kCancelled.
  std::function<bool()> cancelled;
};

Result<std::vector<PassReport>> run_phases(ir::Graph& graph, std::span<const Phase> phases, const ManagerOptions& options = {});

// The nodes of the graph and of all bodies in it, groups' too.
size_t count_nodes(const ir::Graph& graph);

// `carnot opt`: reads text, runs the passes named and prints. An unknown name is an error that lists the known ones.
Result<std::string> opt(std::string_view text, const std::vector<std::string>& pass_names, bool elide = false, const PassContext& context = {});

}  // namespace carnot::passes
