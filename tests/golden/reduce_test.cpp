// SPDX-License-Identifier: Apache-2.0
#include "passes/reduce.hpp"

#include <gtest/gtest.h>

#include "ir/text.hpp"
#include "passes/manager.hpp"

namespace carnot {
namespace {

constexpr std::string_view kGraph = R"(graph main(%x: f32[n,4], %z: f32[n,4]) {
  %k = constant f32[] {2}
  %a = exp %x : f32[n,4]
  %b = mul %a, %k : f32[n,4]
  %c = tanh %b : f32[n,4]
  %d = softmax %c : f32[n,4]
  %e = add %d, %z : f32[n,4]
  %f = neg %z : f32[n,4]
  return %e, %f
})";

TEST(Reduce, KeepsTheNodeThatFails) {
  auto graph = ir::parse(kGraph);
  ASSERT_TRUE(graph) << graph.error().message;
  // "Fails" wherever a tanh stands.
  int trials = 0;
  auto small = passes::reduce(**graph, [&](const ir::Graph& g) {
    ++trials;
    for (const auto& n : g.nodes())
      if (n->op.name() == "tanh") return true;
    return false;
  });
  ASSERT_TRUE(small) << small.error().message;
  EXPECT_EQ(ir::print(**small), "graph main(%b_0: f32[n,4]) {\n  %c = tanh %b_0 : f32[n,4]\n  return %c\n}\n");
  EXPECT_LT(trials, 60);
}

TEST(Reduce, RefusesWhatDoesNotFail) {
  auto text = passes::reduce_text(kGraph, {"fold-constants", "simplify-views"});
  ASSERT_FALSE(text);
  EXPECT_NE(text.error().message.find("does not show the failure"), std::string::npos) << text.error().message;
  EXPECT_FALSE(passes::reduce_text(kGraph, {"no-such-pass"}));
}

TEST(CheckPasses, AllPassesKeepTheResult) {
  auto graph = ir::parse(kGraph);
  ASSERT_TRUE(graph);
  std::vector<std::string> names;
  for (const auto* pass : passes::all_passes()) names.emplace_back(pass->name);
  EXPECT_GE(names.size(), 14u);
  Status status = passes::check_passes(**graph, names);
  EXPECT_TRUE(status) << status.message();
}

}  // namespace
}  // namespace carnot
