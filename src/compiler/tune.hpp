// SPDX-License-Identifier: Apache-2.0
// Replaces the heuristic's choices by ones that were timed. Equal problems are timed once. A candidate wins only if it beats the
// heuristic's choice by more than kNoise in runs that alternate, so that a tuned engine is not slower than a heuristic one.
#pragma once
#include <functional>

#include "compiler/plan_builder.hpp"
#include "compiler/timing_cache.hpp"
#include "compiler/trial_machine.hpp"
#include "tactics/tactic.hpp"

namespace carnot::compiler {

// What must be gained before a choice is changed, as a share of the heuristic's time.
inline constexpr double kNoise = 0.03;
// How far a candidate that is not exact may lie from the heuristic's choice, relative to the range of the result: plain sums in f32 in two
// orders differ by a few 1e-7.
inline constexpr double kInexact = 5e-6;

struct TuneReport {
  size_t problems = 0;    // that have more than one candidate
  size_t timed = 0;       // of them now
  size_t cached = 0;      // of them known from the timing cache
  size_t left = 0;        // of them left to the heuristic: not in the cache, or out of time
  size_t won = 0;         // of them where a timed candidate replaced the heuristic's
  size_t candidates = 0;  // that were run now
  double heuristic_ms = 0, chosen_ms = 0;  // of all commands whose problems have times
  std::string note;       // not empty: why nothing was timed, or what was odd about the cache
  std::string str() const;
};

struct TuneOptions {
  tactics::Effort effort = tactics::Effort::kTune;  // kHeuristic: only what the cache knows
  tactics::Target target;
  tactics::Sizes sizes;
  TrialMachine* machine = nullptr;  // null: nothing can be timed
  TimingCache* cache = nullptr;
  // Called between runs with the share that is done; an error ends the tuning and is its result. What was timed is in the cache then.
  std::function<Status(double done)> step;
};

Status tune(const ir::Graph& graph, const TuneOptions& options, Assignment& assignment, TuneReport& report);

// Which of the candidates is best, by their nanoseconds; the heuristic's is the first.
size_t pick_fastest(const std::vector<int64_t>& times);

}  // namespace carnot::compiler
