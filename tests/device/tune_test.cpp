// SPDX-License-Identifier: Apache-2.0
// Candidates timed on the subject. How long anything takes is not looked at.
#include "compiler/tune.hpp"

#include "compiler/compile.hpp"
#include "engines.hpp"
#include "graphs.hpp"
#include "ir/text.hpp"
#include "subject.hpp"

namespace carnot::test {
namespace {

constexpr std::string_view kProduct = R"(graph main(%x: f32[40,64]) {
  %w = constant f32[64,72] random {1}
  %y = matmul %x, %w : f32[40,72]
  return %y "y"
})";

std::unique_ptr<ir::Graph> parsed(std::string_view text) {
  auto graph = ir::parse(text);
  CARNOT_CHECK(graph.ok());
  return std::move(*graph);
}

TEST(Trials, CandidatesRunAndAgree) {
  const auto graph = parsed(kProduct);
  auto machine = compiler::open_trial_machine(subject(), 2);
  ASSERT_TRUE(machine) << machine.error().message;
  EXPECT_NE((*machine)->key().find("kernels "), std::string::npos);
  const tactics::Sizes sizes;
  const tactics::Problem problem{*graph->node_list().at(0), {subject(), on_cpu() ? 0 : 90}, &sizes};
  const auto options = tactics::options(problem, tactics::Effort::kTune);
  ASSERT_GT(options.size(), 2u);
  auto bench = (*machine)->bench(problem, sizes, (*machine)->weights(size_t{1} << 40));
  ASSERT_TRUE(bench) << bench.error().message;
  for (size_t i = 0; i < options.size(); ++i) {
    auto choice = tactics::build(problem, options[i]);
    ASSERT_TRUE(choice) << choice.error().message;
    const Status added = (*bench)->add(choice->candidate);
    ASSERT_TRUE(added) << options[i].str() << ": " << added.message();
    const auto difference = (*bench)->difference(i);
    ASSERT_TRUE(difference) << options[i].str();
    EXPECT_LT(*difference, 1e-6) << options[i].str();
    const auto ns = (*bench)->run(i);
    ASSERT_TRUE(ns) << ns.error().message;
    EXPECT_GE(*ns, 0);
  }
  tactics::Candidate unknown;
  unknown.kernel = "no.such.kernel";
  EXPECT_FALSE((*bench)->add(unknown));
}

TEST(Trials, TunedEnginesComputeTheSame) {
  compiler::TuneReport report;
  compiler::BuildOptions options{.device = subject(), .effort = "tune", .threads = 2};
  options.on_tune = [&](const compiler::TuneReport& r) { report = r; };
  auto bytes = compiler::compile(parsed(kProduct), options);
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_EQ(report.problems, 1u) << report.str();
  EXPECT_EQ(report.timed, 1u) << report.str();
  const Built tuned(std::move(*bytes)), plain(kProduct, "cpu");
  Sitting got(tuned), wanted(plain);
  const auto inputs = inputs_of(kProduct, {}, 3);
  expect_near(got.answers(inputs), wanted.answers(inputs), "tuned");
}

TEST(Trials, AnArchitectureWithoutADeviceStaysHeuristic) {
  compiler::TuneReport report;
  compiler::BuildOptions options{.device = "cuda:sm_90", .effort = "tune"};
  options.on_tune = [&](const compiler::TuneReport& r) { report = r; };
  if (on_cpu()) GTEST_SKIP() << "no compiler of device code";
  auto bytes = compiler::compile(parsed(kProduct), options);
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_NE(report.note.find("without timing"), std::string::npos) << report.note;
  EXPECT_EQ(report.timed, 0u);
}

}  // namespace
}  // namespace carnot::test
