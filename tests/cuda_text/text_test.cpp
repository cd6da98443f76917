// SPDX-License-Identifier: Apache-2.0
// Generated CUDA kernels against the reference, on the host. cuda_text_test [part of "file:line"] tests some of them.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cmath>

#include "collect.hpp"
#include "compiler/assign.hpp"
#include "host_run.hpp"
#include "nvrtc.hpp"

namespace carnot::test {
namespace {

std::string filter;
char running[4096];

const Collection& all() {
  static const Collection collection = collect("tests/ops", "tests/cuda_text", filter);
  return collection;
}

double tolerance_of(DType dtype) { return dtype == DType::kF16 ? 4e-3 : dtype == DType::kBF16 ? 4e-2 : is_float(dtype) ? 2e-5 : 0; }

std::string difference(const Constant& got, const Constant& expected, double tolerance) {
  std::string out;
  dispatch_dtype(got.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    int64_t wrong = 0;
    for (int64_t i = 0; i < got.size(); ++i) {
      const auto a = static_cast<double>(got.as<T>()[i]), b = static_cast<double>(expected.as<T>()[i]);
      const bool same = is_float(got.dtype) ? (std::isnan(a) && std::isnan(b)) || a == b || std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b))
                                            : got.as<T>()[i] == expected.as<T>()[i] || (tolerance >= 1 && std::abs(a - b) <= tolerance);
      if (!same && wrong++ == 0) out = fmt::format("element {}: got {}, expected {}", i, a, b);
    }
    if (wrong > 1) out += fmt::format(" ({} of {} elements differ)", wrong, got.size());
  });
  return out;
}

extern "C" void crashed(int) {
  [[maybe_unused]] auto n = write(2, "\ncrash in: ", 11);
  n = write(2, running, strlen(running));
  n = write(2, "\n", 1);
  _exit(1);
}

TEST(CudaText, EveryTacticThatAcceptsBuilds) {
  for (const std::string& e : all().errors) ADD_FAILURE() << e;
  if (filter.empty()) {
    EXPECT_GT(all().trials.size(), 1000u);
  }
}

TEST(CudaText, AgreesWithTheReference) {
  std::vector<const tactics::Candidate*> candidates;
  for (const Trial& t : all().trials) candidates.push_back(&t.candidate);
  HostTexts texts;
  const Status compiled = texts.compile(candidates);
  ASSERT_TRUE(compiled) << compiled.message();
  signal(SIGSEGV, crashed);
  signal(SIGFPE, crashed);
  signal(SIGBUS, crashed);
  int failures = 0;
  for (const Trial& t : all().trials) {
    for (const auto memory : {HostTexts::Memory::kTight, HostTexts::Memory::kAligned, HostTexts::Memory::kInPlace}) {
      if (memory == HostTexts::Memory::kInPlace && !t.candidate.in_place) continue;
      const std::string name = fmt::format("{} memory {} {}", t.name, static_cast<int>(memory), *find_attr<std::string>(t.candidate.params, "entry"));
      snprintf(running, sizeof(running), "%s", name.c_str());
      const auto begun = std::chrono::steady_clock::now();
      auto got = texts.run(t, memory);
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
      if (seconds > 1) printf("%.1f s: %s\n", seconds, name.c_str());
      if (!got) {
        ADD_FAILURE() << name << ": " << got.error().message;
        ++failures;
        continue;
      }
      for (size_t i = 0; i < t.expected.size(); ++i) {
        if (!t.expected[i]) continue;
        const std::string bad = difference((*got)[i], *t.expected[i], std::max(t.tolerance * 2, tolerance_of(t.expected[i]->dtype)));
        if (bad.empty()) continue;
        ADD_FAILURE() << name << ": output " << i << ": " << bad;
        ++failures;
      }
    }
    if (failures > 40) break;
  }
  if (!filter.empty()) printf("%zu launches of %zu texts\n", all().trials.size(), candidates.size());
}

TEST(CudaText, CompilesWithNvrtc) {
  auto nvrtc = Nvrtc::open();
  if (!nvrtc) GTEST_SKIP() << "libnvrtc is not installed";
  std::map<std::string, const std::string*> texts;
  for (const Trial& t : all().trials) texts.emplace(*find_attr<std::string>(t.candidate.params, "entry"), &t.candidate.code);
  const std::string log = nvrtc->compile_all(texts);
  EXPECT_TRUE(log.empty()) << log;
}

// Every run-time size is an argument: 120 operands of unknown length are more than one launch takes.
TEST(CudaText, ManyOperandsAreConcatenatedInSteps) {
  ir::Graph graph;
  std::vector<ir::Value*> parts;
  for (int i = 0; i < 120; ++i) parts.push_back(graph.add_input(fmt::format("x{}", i), DType::kF32, {Dim::symbol(fmt::format("n{}", i)), 4}));
  auto whole = graph.add1(*ops::make_op("concat", {{"axis", int64_t{0}}}), parts);
  ASSERT_TRUE(whole) << whole.error().message;
  const Shape shape = (*whole)->shape();
  graph.set_outputs({*whole});
  compiler::Assignment assignment;
  const Status done = compiler::assign(graph, {"cuda", 90}, assignment, [] { return Status(); });
  ASSERT_TRUE(done) << done.message();
  EXPECT_EQ(graph.nodes().size(), 5u);
  EXPECT_EQ(graph.outputs()[0]->shape(), shape);
  for (const auto& node : graph.nodes()) {
    const tactics::Choice& choice = assignment.at(node.get());
    EXPECT_EQ(choice.candidate.kernel, "cuda.launch") << choice.note;
    EXPECT_LE(node->inputs.size(), 32u);
  }
}

}  // namespace
}  // namespace carnot::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1) carnot::test::filter = argv[1];
  const int result = RUN_ALL_TESTS();
  if (argc > 1 || getenv("CARNOT_TEXT_REFUSED"))
    for (const auto& [op, n] : carnot::test::collect("tests/ops", "tests/cuda_text", carnot::test::filter).refused) fprintf(stderr, "refused: %s %d\n", op.c_str(), n);
  return result;
}
