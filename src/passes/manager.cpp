// SPDX-License-Identifier: Apache-2.0
#include "passes/manager.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "base/env.hpp"
#include "ir/text.hpp"
#include "ir/verify.hpp"
#include "passes/merge_equal.hpp"
#include "passes/remove_dead.hpp"

namespace carnot::passes {

#define CARNOT_PASS_FILE(file) PassEntry pass_entry_##file();
#include "all_passes.inc"
#undef CARNOT_PASS_FILE

namespace {
const std::vector<PassEntry>& table() {
  static const auto* entries = new std::vector<PassEntry>{
#define CARNOT_PASS_FILE(file) pass_entry_##file(),
#include "all_passes.inc"
#undef CARNOT_PASS_FILE
  };
  return *entries;
}

// Writes the graph for a bug report; the path, or empty if that failed too.
std::string dump(const ir::Graph& graph, std::string_view pass) {
  namespace fs = std::filesystem;
  std::error_code error;
  const std::string wanted = env_text(EnvVar::kDumpDir);
  const fs::path folder = wanted.empty() ? fs::temp_directory_path(error) : fs::path(wanted);
  if (error) return "";
  const auto stamp = std::chrono::system_clock::now().time_since_epoch().count();
  const fs::path path = folder / fmt::format("carnot-{}-{:x}.ir", pass, stamp);
  std::ofstream file(path, std::ios::binary);
  file << ir::print(graph);
  file.close();
  return file ? path.string() : "";
}

#ifdef NDEBUG
constexpr bool kDebug = false;
#else
constexpr bool kDebug = true;
#endif

class Manager {
 public:
  Manager(ir::Graph& graph, const ManagerOptions& options)
      : graph_(graph),
        options_(options),
        context_(options.context),
        verify_(options.verify.value_or(env_flag(EnvVar::kVerifyPasses, kDebug))),
        disabled_(env_list(EnvVar::kDisablePasses)),
        print_after_(env_text(EnvVar::kPrintAfter)) {}

  Result<std::vector<PassReport>> run(std::span<const Phase> phases) {
    if (!options_.stop_after.empty() &&
        std::none_of(phases.begin(), phases.end(), [&](const Phase& p) { return p.name == options_.stop_after; })) {
      std::string known;
      for (const Phase& p : phases) known += (known.empty() ? "" : ", ") + std::string(p.name);
      return invalid("there is no phase '{}' to stop after; the phases are {}", options_.stop_after, known);
    }
    for (const Phase& phase : phases) {
      bool changed = true;
      for (int round = 0; round < phase.rounds && changed; ++round) {
        changed = false;
        for (std::string_view name : phase.passes) {
          CARNOT_ASSIGN(const bool one, run_pass(phase, name));
          changed |= one;
        }
      }
      if (phase.name == options_.stop_after) break;
    }
    return std::move(reports_);
  }

 private:
  Result<bool> run_pass(const Phase& phase, std::string_view name) {
    if (std::find(disabled_.begin(), disabled_.end(), name) != disabled_.end()) return false;
    if (options_.cancelled && options_.cancelled()) return fail(Code::kCancelled, "cancelled before pass '{}'", name);
    const PassEntry* pass = find_pass(name);
    if (!pass) return fail(Code::kInternal, "phase '{}' lists the unknown pass '{}'", phase.name, name);
    // A copy costs as much as many passes, so it is only kept where failures are looked for; constants are shared.
    std::unique_ptr<ir::Graph> before = verify_ ? graph_.clone(nullptr) : nullptr;
    const auto start = std::chrono::steady_clock::now();
    Status status;
    bool changed = false;
    {
      auto result = pass->run(graph_, context_);
      if (!result)
        status = std::move(result.error());
      else
        changed = *result;
    }
    if (status && changed) status = clean();
    if (status && verify_ && changed) status = ir::verify(graph_);
    if (!status) {
      if (status.error().code == Code::kCancelled) return std::move(status.error());
      std::string how;
      if (before) {
        const std::string path = dump(*before, name);
        if (!path.empty()) how = fmt::format("; repeat it with: carnot opt --pass={} {}", name, path);
      } else {
        how = "; set CARNOT_VERIFY_PASSES=1 to write the graph before it to a file";
      }
      Error error = std::move(status.error()).within(fmt::format("pass '{}'", name));
      error.message += how;
      return error;
    }
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    reports_.push_back({phase.name, pass->name, took.count(), changed, count_nodes(graph_)});
    if (print_after_ == name || print_after_ == "all" || (print_after_ == "changed" && changed))
      show(fmt::format("// after {}{}\n{}", name, changed ? "" : " (nothing changed)", ir::print(graph_, {.elide_above = 256})));
    return changed;
  }

  Status clean() {
    bool merged = true;
    while (merged) {
      CARNOT_RETURN_IF_ERROR(RemoveDead{}.run(graph_, context_));
      CARNOT_ASSIGN(merged, MergeEqual{}.run(graph_, context_));
    }
    return {};
  }

  void show(const std::string& text) {
    if (options_.print)
      options_.print(text);
    else
      std::fputs(text.c_str(), stderr);
  }

  ir::Graph& graph_;
  const ManagerOptions& options_;
  PassContext context_;
  bool verify_;
  std::vector<std::string> disabled_;
  std::string print_after_;
  std::vector<PassReport> reports_;
};
}  // namespace

const PassEntry* find_pass(std::string_view name) {
  for (const PassEntry& e : table())
    if (e.name == name) return &e;
  return nullptr;
}

std::vector<const PassEntry*> all_passes() {
  std::vector<const PassEntry*> out;
  for (const PassEntry& e : table()) out.push_back(&e);
  return out;
}

Result<std::vector<PassReport>> run_phases(ir::Graph& graph, std::span<const Phase> phases, const ManagerOptions& options) {
  return Manager(graph, options).run(phases);
}

size_t count_nodes(const ir::Graph& graph) {
  size_t n = graph.nodes().size();
  for (const auto& node : graph.nodes())
    for (const auto& body : node->bodies) n += count_nodes(*body);
  return n;
}

Result<std::string> opt(std::string_view text, const std::vector<std::string>& pass_names, bool elide, const PassContext& context) {
  Phase phase{"opt", {}};
  for (const std::string& name : pass_names) {
    const PassEntry* pass = find_pass(name);
    if (!pass) {
      std::string known;
      for (const PassEntry* p : all_passes()) known += (known.empty() ? "" : ", ") + std::string(p->name);
      return invalid("there is no pass '{}'; the passes are {}", name, known);
    }
    phase.passes.push_back(pass->name);
  }
  CARNOT_ASSIGN(auto graph, ir::parse(text));
  CARNOT_RETURN_IF_ERROR(ir::verify(*graph));
  ManagerOptions options;
  options.context = context;
  options.verify = true;
  CARNOT_RETURN_IF_ERROR(run_phases(*graph, std::span(&phase, 1), options));
  return ir::print(*graph, {.elide_above = elide ? 256 : -1});
}

}  // namespace carnot::passes
