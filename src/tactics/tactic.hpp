// SPDX-License-Identifier: Apache-2.0
// Choosing implementations. A tactic is one family of implementations on one backend; for a node it either says in one line why it
// refuses, or builds the command that does the work. Tactics are asked best first; the reference comes last and never refuses.
//
// One file src/tactics/<device>/<family>.cpp holds a tactic and ends with CARNOT_TACTICS(device, family, Tactic...). The table is
// generated from the file names.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.hpp"

namespace carnot::tactics {

// Empty: accepts. Else the reason, one line.
using Refusal = std::string;

enum class Effort { kHeuristic, kTune, kExhaustive };

// What the engine is built for. The CPU takes part in every engine.
struct Target {
  std::string device = "cpu";  // "cpu", "cuda"
  int sm = 0;                  // cuda: compute capability, 90 for Hopper
};

// A number for each symbol.
using Sizes = std::map<std::string, int64_t, std::less<>>;

// What is asked: a node with its operands' types and constants. `str` is greppable and parseable.
struct Problem {
  const ir::Node& node;
  Target target = {};
  const Sizes* sizes = nullptr;  // of the symbols, where it is known for which sizes candidates are picked

  const ops::Operator& op() const { return node.op; }
  // Operand facts; the operand must be present.
  const ops::ValueFacts& in(size_t i) const { return node.inputs[i]->facts; }
  const ops::ValueFacts& out(size_t i = 0) const { return node.outputs[i]->facts; }
  // The weight at operand i, null if it is absent or not constant.
  const Constant* constant(size_t i) const { return node.has(i) && node.in(i)->constant ? &*node.in(i)->constant : nullptr; }
  std::string str() const;
};

using Config = Attrs;

// An operand of the command: one of the node's, a constant made by the tactic (packed weights), or none.
struct Operand {
  int32_t input = -1;  // index into node.inputs; -1: see constant
  std::shared_ptr<const Constant> constant;
  static Operand of(size_t i) { return {static_cast<int32_t>(i), nullptr}; }
  static Operand packed(Constant c) { return {-1, std::make_shared<const Constant>(std::move(c))}; }
  static Operand absent() { return {}; }
};

// The command that runs the node; its outputs are the node's outputs.
struct Candidate {
  std::string kernel;  // "cpu.conv", "ref:conv"
  Attrs params;
  std::vector<Operand> inputs;
  std::string note;  // more than the tactic's name, if there is something to say
  std::string code;  // cuda: the source of the kernel that the command launches; the compiler compiles equal sources once
  bool exact = true;      // false: rounds otherwise than plain sums do; is compared with the heuristic's choice before it may win
  uint32_t in_place = 0;  // bit i: output 0 may lie on input i (of the command) where that dies here and has the same size
};

class Tactic {
 public:
  virtual ~Tactic() = default;
  virtual std::string_view name() const = 0;  // stable: stands in engines and timing caches
  virtual std::string_view device() const { return "cpu"; }  // the tactic is asked where the target has this device
  virtual int version() const { return 1; }   // bumped when the code changes: old timings become invalid
  // Higher is asked first. 100: a kernel made for the case; 50: a general one.
  virtual int priority() const = 0;
  virtual Refusal refuses(const Problem& problem) const = 0;
  virtual std::vector<Config> configs(const Problem&, Effort) const { return {Config{}}; }  // best guess first
  virtual Result<Candidate> build(const Problem& problem, const Config& config) const = 0;  // only after refuses() said nothing
};

// The CPU's last, then by priority, then by name.
const std::vector<const Tactic*>& all_tactics();

struct Choice {
  Candidate candidate;
  const Tactic* tactic = nullptr;  // null: the reference
  std::string note;                // tactic, or why all others refused
};
// Asks all tactics. A group that none of them takes gives a choice without a kernel name: the caller takes it apart.
Result<Choice> choose(const Problem& problem);

// One way to do a problem: a tactic and how it is set.
struct Option {
  const Tactic* tactic = nullptr;
  Config config;
  // "cpu.gemm@1 panels=3": stands in timing caches.
  std::string str() const;
};
// The ways that are worth timing with this effort, the heuristic's choice first, all of its device. The reference is none of them.
std::vector<Option> options(const Problem& problem, Effort effort);
Result<Choice> build(const Problem& problem, const Option& option);

}  // namespace carnot::tactics

#define CARNOT_TACTICS(device, family, ...)                                     \
  std::vector<const ::carnot::tactics::Tactic*> tactics_##device##_##family() { \
    return ::carnot::tactics::detail::instances<__VA_ARGS__>();                 \
  }

namespace carnot::tactics::detail {
template <typename T>
const Tactic* instance() {
  static const T tactic;
  return &tactic;
}
template <typename... Ts>
std::vector<const Tactic*> instances() {
  return {instance<Ts>()...};
}
}  // namespace carnot::tactics::detail
