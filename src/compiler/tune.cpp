// SPDX-License-Identifier: Apache-2.0
#include "compiler/tune.hpp"

#include <algorithm>
#include <limits>

#include "base/log.hpp"
#include "tactics/problem_sizes.hpp"

namespace carnot::compiler {
namespace {

using tactics::Effort;

// How much a problem's measurement may take. Times are sums of runs, so that equal times give equal decisions; each run is charged
// kRunNs more for setting the caches.
struct Limits {
  int rounds;          // of all candidates that are not clearly worse
  int final_rounds;    // of the best and the heuristic's
  double problem_ns;   // for either, once there were kFewRounds
  double total_ns;     // for all problems
};
constexpr Limits kTuneLimits{6, 24, 100e6, 120e9}, kExhaustiveLimits{12, 48, 500e6, 3600e9};
constexpr int kFewRounds = 3;
constexpr double kRunNs = 0.2e6;
// Of the pairs of runs against the heuristic's choice a winner must be the faster in this share.
constexpr double kMostPairs = 0.6;
// A candidate is given up when it is slower than the best by this factor after its first run, and after each later round.
constexpr double kHopeless = 2.0, kWorse = 1.15;

struct UniqueProblem {
  std::string key;
  std::vector<tactics::Option> options;
  std::vector<std::string> names;  // of the options
  std::vector<const ir::Node*> nodes;
  double work = 0;
};

bool is_shape_work(const ir::Node& node) {
  return std::all_of(node.outputs.begin(), node.outputs.end(), [](const ir::Value* v) { return v->facts.values.has_value(); });
}

size_t constant_bytes(const ir::Graph& graph) {
  size_t bytes = 0;
  for (const auto& v : graph.values())
    if (v->constant) bytes += v->constant->bytes();
  for (const auto& node : graph.nodes())
    for (const auto& body : node->bodies) bytes += constant_bytes(*body);
  return bytes;
}

class Tuner {
 public:
  Tuner(const TuneOptions& options, Assignment& assignment, TuneReport& report)
      : options_(options), limits_(options.effort == Effort::kExhaustive ? kExhaustiveLimits : kTuneLimits), assignment_(assignment), report_(report) {}

  Status run(const ir::Graph& graph) {
    if (options_.machine) weights_ = options_.machine->weights(constant_bytes(graph));
    collect(graph);
    // The largest first: what is left when the time is over matters least. Stable, so that equal builds measure alike.
    std::stable_sort(problems_.begin(), problems_.end(), [](const UniqueProblem& a, const UniqueProblem& b) { return a.work > b.work; });
    report_.problems = problems_.size();
    for (const UniqueProblem& problem : problems_) work_ += problem.work;
    for (const UniqueProblem& problem : problems_) {
      CARNOT_RETURN_IF_ERROR(step(0));
      CARNOT_RETURN_IF_ERROR(decide(problem));
      done_ += problem.work;
    }
    return {};
  }

 private:
  void collect(const ir::Graph& graph) {
    for (const auto& node : graph.nodes()) {
      const auto chosen = assignment_.find(node.get());
      if (chosen == assignment_.end()) continue;
      if (!chosen->second.tactic)
        for (const auto& body : node->bodies) collect(*body);
      if (!chosen->second.tactic || chosen->second.tactic->device() != options_.target.device || is_shape_work(*node)) continue;
      const tactics::Problem problem = problem_of(*node);
      // With the heuristic's effort the cache may know any of the candidates.
      std::vector<tactics::Option> found = tactics::options(problem, options_.effort == Effort::kHeuristic ? Effort::kExhaustive : options_.effort);
      if (found.size() < 2) continue;
      auto key = tactics::problem_key(problem, options_.sizes);
      if (!key) continue;
      if (weights_ == Weights::kCold) *key += " | cold";
      std::vector<std::string> names;
      for (const tactics::Option& option : found) names.push_back(option.str());
      // Alike in everything but their candidates: one has a dim that the other knows as a number only.
      const std::string identity = fmt::format("{}\n{}", *key, fmt::join(names, "\n"));
      auto [place, first] = places_.try_emplace(identity, problems_.size());
      if (first) problems_.push_back({std::move(*key), std::move(found), std::move(names), {}, 0});
      problems_[place->second].nodes.push_back(node.get());
      problems_[place->second].work += tactics::work_of(*node, options_.sizes);
    }
  }

  tactics::Problem problem_of(const ir::Node& node) const { return {node, options_.target, &options_.sizes}; }

  Status step(double share_of_problem) {
    if (!options_.step) return {};
    return options_.step(std::min(1.0, (done_ + share_of_problem) / std::max(work_, 1.0)));
  }

  Status decide(const UniqueProblem& problem) {
    std::vector<int64_t> times = known(problem);
    if (!times.empty()) {
      ++report_.cached;
    } else if (options_.effort == Effort::kHeuristic || !options_.machine || spent_ > limits_.total_ns) {
      ++report_.left;
      return {};
    } else {
      CARNOT_ASSIGN(times, measure(problem));
      if (times.empty()) {
        ++report_.left;
        return {};
      }
      ++report_.timed;
    }
    const size_t best = pick_fastest(times);
    report_.won += best != 0;
    report_.heuristic_ms += static_cast<double>(times[0]) * 1e-6 * static_cast<double>(problem.nodes.size());
    report_.chosen_ms += static_cast<double>(times[best]) * 1e-6 * static_cast<double>(problem.nodes.size());
    for (const ir::Node* node : problem.nodes) {
      tactics::Choice& choice = assignment_.at(node);
      if (best != 0) {
        CARNOT_ASSIGN(choice, tactics::build(problem_of(*node), problem.options[best]));
      }
      choice.note += fmt::format("; {}, {:.1f} us", best == 0 ? "timed" : "tuned: " + problem.names[best], static_cast<double>(times[best]) * 1e-3);
      if (best != 0) choice.note += fmt::format(" (heuristic {:.1f} us)", static_cast<double>(times[0]) * 1e-3);
    }
    return {};
  }

  // Times of all options from the cache; none if one of them is missing, unless nothing may be timed anyway.
  std::vector<int64_t> known(const UniqueProblem& problem) const {
    const TimingCache::Times* found = options_.cache ? options_.cache->find(problem.key) : nullptr;
    std::vector<int64_t> times;
    if (!found) return times;
    for (const std::string& name : problem.names) {
      const auto time = found->find(name);
      if (time == found->end() && (options_.effort != Effort::kHeuristic || times.empty())) return {};
      times.push_back(time == found->end() ? TimingCache::kMaxNanoseconds : time->second);
    }
    return times;
  }

  // Nanoseconds of each option, kMaxNanoseconds for those that do not run here or are not exact enough. None if the heuristic's does not.
  Result<std::vector<int64_t>> measure(const UniqueProblem& problem) {
    const tactics::Problem first = problem_of(*problem.nodes[0]);
    auto bench = options_.machine->bench(first, options_.sizes, weights_);
    if (!bench) {
      CARNOT_LOG(2, "tactic", "{} | cannot be timed: {}", problem.key, bench.error().message);
      return std::vector<int64_t>{};
    }
    Runs runs{**bench, std::vector<double>(problem.options.size(), std::numeric_limits<double>::infinity()), {}, {}};
    for (size_t i = 0; i < problem.options.size(); ++i) {
      CARNOT_RETURN_IF_ERROR(step(0));
      auto choice = tactics::build(first, problem.options[i]);
      Status added = choice ? (*bench)->add(choice->candidate) : Status(choice.error());
      if (added) {
        const size_t number = runs.numbers.size();
        runs.numbers.push_back(i);
        if (i > 0 && !choice->candidate.exact) {
          CARNOT_ASSIGN(const double difference, (*bench)->difference(number));
          if (!(difference <= kInexact)) {
            CARNOT_LOG(2, "tactic", "{} | {} | differs by {:.2g} of the range", problem.key, problem.names[i], difference);
            continue;
          }
        }
        runs.alive.push_back(number);
        continue;
      }
      CARNOT_LOG(3, "tactic", "{} | {} | does not run: {}", problem.key, problem.names[i], added.message());
      if (i == 0) return std::vector<int64_t>{};
    }
    report_.candidates += runs.alive.size();
    CARNOT_RETURN_IF_ERROR(compare(runs, problem.work));
    std::vector<int64_t> times;
    TimingCache::Times record;
    for (size_t i = 0; i < runs.best.size(); ++i) {
      times.push_back(static_cast<int64_t>(std::clamp(runs.best[i], 1.0, static_cast<double>(TimingCache::kMaxNanoseconds))));
      record.emplace(problem.names[i], times.back());
      CARNOT_LOG(3, "tactic", "{} | {} | {} ns", problem.key, problem.names[i], times.back());
    }
    if (options_.cache) options_.cache->put(problem.key, std::move(record));
    return times;
  }

  struct Runs {
    TrialBench& bench;
    std::vector<double> best;      // by option
    std::vector<size_t> numbers;   // by candidate of the bench: the option
    std::vector<size_t> alive;     // candidates; the heuristic's is 0
  };

  // The time of one run; the least of all stands in runs.best.
  Result<double> once(Runs& runs, size_t candidate) {
    CARNOT_ASSIGN(const double ns, runs.bench.run(candidate));
    double& best = runs.best[runs.numbers[candidate]];
    best = std::min(best, ns);
    spent_ += ns + kRunNs;
    return ns;
  }

  void drop(Runs& runs, double factor) {
    double least = std::numeric_limits<double>::infinity();
    for (const size_t c : runs.alive) least = std::min(least, runs.best[runs.numbers[c]]);
    std::erase_if(runs.alive, [&](size_t c) { return c != 0 && runs.best[runs.numbers[c]] > factor * least; });
  }

  // Runs alternate, so that what disturbs the machine disturbs all candidates.
  Status compare(Runs& runs, double work) {
    // The first run pays for pages and code that nobody has touched.
    for (const size_t c : runs.alive) {
      CARNOT_RETURN_IF_ERROR(step(0));
      CARNOT_RETURN_IF_ERROR(once(runs, c));
    }
    drop(runs, 2 * kHopeless);
    if (runs.alive.size() < 2) return {};
    for (const size_t c : runs.alive) runs.best[runs.numbers[c]] = std::numeric_limits<double>::infinity();
    const double begin = spent_;
    for (int round = 0; round < limits_.rounds && runs.alive.size() > 1; ++round) {
      if (round >= kFewRounds && spent_ - begin > limits_.problem_ns) break;
      for (const size_t c : runs.alive) {
        CARNOT_RETURN_IF_ERROR(step(0.8 * work * round / limits_.rounds));
        CARNOT_RETURN_IF_ERROR(once(runs, c));
      }
      drop(runs, round == 0 ? kHopeless : kWorse);
    }
    if (runs.alive.size() < 2) return {};
    return confirm(runs, work);
  }

  // Whoever was the fastest of many was lucky as well: it runs once more against the heuristic's, and only these runs count.
  Status confirm(Runs& runs, double work) {
    const size_t winner = *std::min_element(runs.alive.begin(), runs.alive.end(), [&](size_t a, size_t b) { return runs.best[runs.numbers[a]] < runs.best[runs.numbers[b]]; });
    if (winner == 0) return {};
    const double infinity = std::numeric_limits<double>::infinity(), begin = spent_;
    double &best = runs.best[runs.numbers[winner]], &heuristic = runs.best[0];
    best = heuristic = infinity;
    int pairs = 0, won = 0;
    for (int round = 0; round < limits_.final_rounds; ++round) {
      if (round >= kFewRounds && spent_ - begin > limits_.problem_ns) break;
      CARNOT_RETURN_IF_ERROR(step((0.8 + 0.2 * round / limits_.final_rounds) * work));
      CARNOT_ASSIGN(const double first, once(runs, round % 2 == 0 ? winner : 0));
      CARNOT_ASSIGN(const double second, once(runs, round % 2 == 0 ? 0 : winner));
      ++pairs;
      won += round % 2 == 0 ? first < second : second < first;
    }
    // On a machine with other work a least time may be the one run that had it for itself: the winner must win most pairs, too.
    if (won < kMostPairs * pairs) best = std::max(best, heuristic);
    // The others were not confirmed: none of them may win by its luck.
    for (double& other : runs.best)
      if (&other != &best && &other != &heuristic) other = std::max(other, std::max(best, heuristic));
    return {};
  }

  const TuneOptions& options_;
  const Limits limits_;
  Assignment& assignment_;
  TuneReport& report_;
  Weights weights_ = Weights::kCached;
  std::vector<UniqueProblem> problems_;
  std::map<std::string, size_t> places_;
  double work_ = 0, done_ = 0;  // in units of work_of()
  double spent_ = 0;            // nanoseconds
};

}  // namespace

size_t pick_fastest(const std::vector<int64_t>& times) {
  const auto best = static_cast<size_t>(std::min_element(times.begin(), times.end()) - times.begin());
  return static_cast<double>(times[best]) < (1 - kNoise) * static_cast<double>(times[0]) ? best : 0;
}

std::string TuneReport::str() const {
  std::string text = fmt::format("tuned: {} problems, {} timed now ({} candidates), {} from the cache, {} left to the heuristic", problems, timed, candidates, cached, left);
  if (timed + cached > 0)
    text += fmt::format("; {} beat the heuristic's choice: {:.2f} ms -> {:.2f} ms estimated ({:.2f}x)", won, heuristic_ms, chosen_ms, chosen_ms > 0 ? heuristic_ms / chosen_ms : 1.0);
  if (!note.empty()) text += "\n" + note;
  return text + "\n";
}

Status tune(const ir::Graph& graph, const TuneOptions& options, Assignment& assignment, TuneReport& report) { return Tuner(options, assignment, report).run(graph); }

}  // namespace carnot::compiler
