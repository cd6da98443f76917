// SPDX-License-Identifier: Apache-2.0
#include "compiler/tune.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include "compiler/compile.hpp"
#include "engine/reader.hpp"
#include "ir/text.hpp"

namespace carnot::compiler {
namespace {

std::unique_ptr<ir::Graph> parsed(std::string_view text) {
  auto graph = ir::parse(text);
  EXPECT_TRUE(graph) << graph.error().message;
  return std::move(*graph);
}

// Two equal convolutions, one of another size, and a product.
constexpr std::string_view kNetwork = R"(graph main(%x: f32[1,32,24,24]) {
  %w1 = constant f32[32,32,3,3] random {1}
  %w2 = constant f32[32,32,3,3] random {2}
  %w3 = constant f32[64,32,3,3] random {3}
  %w4 = constant f32[36864,48] random {4}
  %s = constant i64[2] {1, 36864}
  %a = conv(pads=[1, 1, 1, 1]) %x, %w1 : f32[1,32,24,24]
  %b = conv(pads=[1, 1, 1, 1]) %a, %w2 : f32[1,32,24,24]
  %c = conv(pads=[1, 1, 1, 1]) %b, %w3 : f32[1,64,24,24]
  %d = reshape %c, %s : f32[1,36864]
  %y = matmul %d, %w4 : f32[1,48]
  return %y "y"
})";

std::string text_of(const tactics::Candidate& candidate) {
  std::string text = candidate.kernel;
  for (const auto& [key, value] : candidate.params)
    if (key == "blocking" || key == "way" || key == "packed_b") text += fmt::format(" {}={}", key, ops::to_string(value));
  return text;
}

// Times that a test makes up.
class FakeMachine final : public TrialMachine {
 public:
  // Nanoseconds of the run number `run` (from 0 on) of a candidate.
  using Time = std::function<double(const std::string& candidate, int run)>;
  explicit FakeMachine(Time time) : time_(std::move(time)) {}
  std::string key() const override { return machine; }
  Weights weights(size_t) const override { return Weights::kCached; }
  Result<std::unique_ptr<TrialBench>> bench(const tactics::Problem&, const tactics::Sizes& sizes, Weights) override {
    ++benches;
    last_sizes = sizes;
    return std::unique_ptr<TrialBench>(std::make_unique<Bench>(*this));
  }
  std::string machine = "a machine";
  int benches = 0, runs = 0;
  tactics::Sizes last_sizes;
  std::map<std::string, int> runs_of;

 private:
  struct Bench final : TrialBench {
    explicit Bench(FakeMachine& machine) : machine(machine) {}
    Status add(const tactics::Candidate& candidate) override {
      if (text_of(candidate) == machine.broken) return fail(Code::kUnsupported, "broken");
      names.push_back(text_of(candidate));
      counts.push_back(0);
      return {};
    }
    Result<double> run(size_t candidate) override {
      ++machine.runs;
      ++machine.runs_of[names[candidate]];
      return machine.time_(names[candidate], counts[candidate]++);
    }
    Result<double> difference(size_t candidate) override { return names[candidate].find("winograd4") != std::string::npos ? machine.winograd4 : 1e-7; }
    FakeMachine& machine;
    std::vector<std::string> names;
    std::vector<int> counts;
  };

 public:
  std::string broken = "nothing";
  double winograd4 = 1e-6;  // how far it lies from the plain sum

 private:
  Time time_;
};

struct Built {
  std::vector<std::byte> bytes;
  TuneReport report;
  std::string notes;  // of all commands
};

Built built(const std::shared_ptr<FakeMachine>& machine, const std::string& cache = "", const std::string& effort = "tune") {
  Built out;
  BuildOptions options{.effort = effort, .timing_cache = cache, .on_tune = [&](const TuneReport& r) { out.report = r; }, .trial_machine = machine};
  auto bytes = compile(parsed(kNetwork), options);
  EXPECT_TRUE(bytes) << bytes.error().message;
  if (!bytes) return out;
  out.bytes = std::move(*bytes);
  std::string text(reinterpret_cast<const char*>(out.bytes.data()), out.bytes.size());
  for (const char* word : {"tuned: cpu.conv@1 way=\"bands\"", "; timed, "})
    if (text.find(word) != std::string::npos) out.notes += std::string(word) + "|";
  return out;
}

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / fmt::format("carnot-tune-{}", ::getpid())) { std::filesystem::create_directories(path_); }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

bool is_bands(const std::string& candidate) { return candidate == "cpu.conv way=\"bands\""; }

TEST(Tune, FastestCandidateWins) {
  const auto machine = std::make_shared<FakeMachine>([](const std::string& c, int) { return is_bands(c) ? 500.0 : 1000.0; });
  const Built tuned = built(machine);
  // The two equal convolutions are one problem.
  EXPECT_EQ(tuned.report.problems, 3u);
  EXPECT_EQ(tuned.report.timed, 3u);
  EXPECT_EQ(tuned.report.won, 2u);
  EXPECT_EQ(machine->benches, 3);
  EXPECT_DOUBLE_EQ(tuned.report.heuristic_ms, 4 * 0.001);
  EXPECT_DOUBLE_EQ(tuned.report.chosen_ms, 3 * 0.0005 + 0.001);
  EXPECT_EQ(tuned.notes, "tuned: cpu.conv@1 way=\"bands\"|; timed, |");
}

TEST(Tune, GainWithinTheNoiseChangesNothing) {
  const auto machine = std::make_shared<FakeMachine>([](const std::string& c, int) { return is_bands(c) ? 975.0 : 1000.0; });
  const Built tuned = built(machine), plain = built(machine, "", "heuristic");
  EXPECT_EQ(tuned.report.won, 0u);
  EXPECT_EQ(pick_fastest({1000, 970}), 0u);
  EXPECT_EQ(pick_fastest({1000, 969, 980}), 1u);
  EXPECT_EQ(pick_fastest({1000, 1000, 1000}), 0u);
  EXPECT_EQ(plain.report.problems, 0u);
}

TEST(Tune, LuckIsNotConfirmed) {
  // Fast while many are compared, as fast as the others when it runs against the heuristic's alone.
  const auto machine = std::make_shared<FakeMachine>([](const std::string& c, int run) { return is_bands(c) && run < 7 ? 800.0 : 1000.0; });
  EXPECT_EQ(built(machine).report.won, 0u);
}

TEST(Tune, OneFastRunIsNotEnough) {
  // The best of the first rounds, and once twice as fast as the heuristic's afterwards, but mostly slower.
  const auto machine = std::make_shared<FakeMachine>([](const std::string& c, int run) { return !is_bands(c) ? 1000.0 : run < 7 ? 990.0 : run == 8 ? 500.0 : 1005.0; });
  EXPECT_EQ(built(machine).report.won, 0u);
}

TEST(Tune, SlowCandidatesAreGivenUpEarly) {
  const auto machine = std::make_shared<FakeMachine>([](const std::string& c, int) { return c.find("blocking") != std::string::npos ? 10e6 : 1e6; });
  built(machine);
  int slow = 0, most = 0;
  for (const auto& [name, runs] : machine->runs_of)
    if (name.find("blocking") != std::string::npos) ++slow, most = std::max(most, runs);
  EXPECT_GT(slow, 3);
  EXPECT_LE(most, 3);  // once for each problem
  EXPECT_GT(machine->runs_of["cpu.conv"], 6);
}

TEST(Tune, CandidatesThatDoNotRunAreLeftOut) {
  const auto machine = std::make_shared<FakeMachine>([](const std::string& c, int) { return is_bands(c) ? 500.0 : 1000.0; });
  machine->broken = "cpu.conv way=\"bands\"";
  EXPECT_EQ(built(machine).report.won, 0u);
  machine->broken = "cpu.conv";
  EXPECT_EQ(built(machine).report.left, 2u);  // without the heuristic's time there is nothing to compare with
}

TEST(Tune, WhatIsNotExactEnoughDoesNotWin) {
  const auto machine = std::make_shared<FakeMachine>([](const std::string& c, int) { return c == "cpu.conv way=\"winograd4\"" ? 300.0 : c == "cpu.conv way=\"winograd2\"" ? 600.0 : 1000.0; });
  EXPECT_DOUBLE_EQ(built(machine).report.chosen_ms, 3 * 0.0003 + 0.001);
  machine->winograd4 = 1e-4;
  EXPECT_DOUBLE_EQ(built(machine).report.chosen_ms, 3 * 0.0006 + 0.001);
  machine->winograd4 = std::numeric_limits<double>::quiet_NaN();
  EXPECT_DOUBLE_EQ(built(machine).report.chosen_ms, 3 * 0.0006 + 0.001);
}

TEST(Tune, TheLargeProblemsComeFirstAndTimeIsBounded) {
  const auto machine = std::make_shared<FakeMachine>([](const std::string&, int) { return 30e9; });
  const Built tuned = built(machine);
  EXPECT_EQ(tuned.report.timed, 1u);
  EXPECT_EQ(tuned.report.left, 2u);
}

TEST(Tune, FullCacheTimesNothingAndGivesTheSameBytes) {
  const Folder folder;
  const std::string cache = folder.file("times");
  // Noise of its own in every run: without the cache no two builds would agree.
  int noise = 0;
  const auto machine = std::make_shared<FakeMachine>([&](const std::string& c, int) { return 1000.0 + (is_bands(c) ? -300 : 0) + ++noise % 41; });
  const Built first = built(machine, cache);
  EXPECT_EQ(first.report.timed, 3u);
  EXPECT_GT(first.report.candidates, 10u);
  const int runs = machine->runs;
  const std::string kept = contents(cache);
  const Built second = built(machine, cache);
  EXPECT_EQ(machine->runs, runs);
  EXPECT_EQ(second.report.timed, 0u);
  EXPECT_EQ(second.report.candidates, 0u);
  EXPECT_EQ(second.report.cached, 3u);
  EXPECT_EQ(second.bytes, first.bytes);
  EXPECT_EQ(contents(cache), kept);
  // More candidates than the cache knows: timed, and then known as well.
  const Built all = built(machine, cache, "exhaustive");
  EXPECT_EQ(all.report.timed, 3u);
  EXPECT_GT(all.report.candidates, first.report.candidates);
  EXPECT_EQ(built(machine, cache, "exhaustive").report.timed, 0u);
  EXPECT_EQ(built(machine, cache).report.timed, 0u);
}

TEST(Tune, HeuristicUsesWhatTheCacheKnowsAndTimesNothing) {
  const Folder folder;
  const auto machine = std::make_shared<FakeMachine>([](const std::string& c, int) { return is_bands(c) ? 500.0 : 1000.0; });
  EXPECT_EQ(built(machine, folder.file("times"), "heuristic").report.left, 3u);
  EXPECT_FALSE(std::filesystem::exists(folder.file("times")));
  built(machine, folder.file("times"));
  const int runs = machine->runs;
  const Built again = built(machine, folder.file("times"), "heuristic");
  EXPECT_EQ(machine->runs, runs);
  EXPECT_EQ(again.report.cached, 3u);
  EXPECT_EQ(again.report.won, 2u);
}

TEST(Tune, TimesOfAnotherMachineAreKeptAndNotUsed) {
  const Folder folder;
  const auto machine = std::make_shared<FakeMachine>([](const std::string&, int) { return 1000.0; });
  built(machine, folder.file("times"));
  machine->machine = "another machine";
  const Built other = built(machine, folder.file("times"));
  EXPECT_EQ(other.report.timed, 3u);
  EXPECT_NE(other.report.note.find("other machines"), std::string::npos);
  machine->machine = "a machine";
  EXPECT_EQ(built(machine, folder.file("times")).report.timed, 0u);
}

TEST(Tune, CancelKeepsWhatWasTimed) {
  const Folder folder;
  const auto machine = std::make_shared<FakeMachine>([](const std::string&, int) { return 1000.0; });
  BuildOptions options{.effort = "tune", .timing_cache = folder.file("times"), .trial_machine = machine};
  options.progress = [&](std::string_view phase, double) { return phase != "tune" || machine->benches < 3; };
  const auto cancelled = compile(parsed(kNetwork), options);
  ASSERT_FALSE(cancelled);
  EXPECT_EQ(cancelled.error().code, Code::kCancelled);
  const Built rest = built(machine, folder.file("times"));
  EXPECT_EQ(rest.report.cached, 2u);
  EXPECT_EQ(rest.report.timed, 1u);
}

TEST(Tune, ProgressGrows) {
  const auto machine = std::make_shared<FakeMachine>([](const std::string&, int) { return 1000.0; });
  double last = 0;
  BuildOptions options{.effort = "tune", .trial_machine = machine};
  options.progress = [&](std::string_view phase, double done) {
    EXPECT_GE(done, last) << phase;
    EXPECT_LE(done, 1.0);
    last = done;
    return true;
  };
  EXPECT_TRUE(compile(parsed(kNetwork), options));
  EXPECT_GT(last, 0.9);
}

TEST(Tune, DynamicDimsStandAtTheOptimum) {
  constexpr std::string_view kDynamic = R"(graph main(%x: f32[batch,32,height,24]) {
  %w = constant f32[32,32,3,3] random {1}
  %y = conv(pads=[1, 1, 1, 1]) %x, %w : f32[batch,32,height,24]
  return %y "y"
})";
  const Folder folder;
  const auto machine = std::make_shared<FakeMachine>([](const std::string&, int) { return 1000.0; });
  BuildOptions options{.effort = "tune", .timing_cache = folder.file("times"), .trial_machine = machine};
  options.shapes = {{"x", {{1, 32, 8, 24}, {4, 32, 16, 24}, {8, 32, 64, 24}}}};
  ASSERT_TRUE(compile(parsed(kDynamic), options));
  EXPECT_EQ(machine->last_sizes.at("batch"), 4);
  EXPECT_EQ(machine->last_sizes.at("height"), 16);
  options.shapes["x"].opt[0] = 8;  // another problem
  ASSERT_TRUE(compile(parsed(kDynamic), options));
  EXPECT_EQ(machine->benches, 2);
  options.shapes.clear();
  ASSERT_TRUE(compile(parsed(kDynamic), options));
  EXPECT_EQ(machine->last_sizes.at("batch"), 1);
  EXPECT_EQ(machine->last_sizes.at("height"), 224);
}

TEST(Tune, Refusals) {
  const Folder folder;
  const auto unknown = compile(parsed(kNetwork), {.effort = "maximal"});
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("write heuristic, tune or exhaustive"), std::string::npos);
  // What is no timing cache is not overwritten.
  std::ofstream(folder.file("notes.txt")) << "my notes\n";
  const auto foreign = compile(parsed(kNetwork), {.effort = "tune", .timing_cache = folder.file("notes.txt")});
  ASSERT_FALSE(foreign);
  EXPECT_NE(foreign.error().message.find("not a timing cache"), std::string::npos) << foreign.error().message;
  EXPECT_EQ(contents(folder.file("notes.txt")), "my notes\n");
  const auto machine = std::make_shared<FakeMachine>([](const std::string&, int) { return 1000.0; });
  const auto nowhere = compile(parsed(kNetwork), {.effort = "tune", .timing_cache = folder.file("missing/times"), .trial_machine = machine});
  ASSERT_FALSE(nowhere);
  EXPECT_NE(nowhere.error().message.find("cannot write"), std::string::npos) << nowhere.error().message;
}

// The real clock: whatever it says, the engine computes the same.
TEST(Tune, OnThisMachine) {
  TuneReport report;
  BuildOptions options{.effort = "tune", .on_tune = [&](const TuneReport& r) { report = r; }, .check = true, .threads = 2};
  const auto bytes = compile(parsed(kNetwork), options);
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_EQ(report.timed, 3u);
  EXPECT_GT(report.heuristic_ms, 0);
  EXPECT_LE(report.chosen_ms, report.heuristic_ms);
}

}  // namespace
}  // namespace carnot::compiler
