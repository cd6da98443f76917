// SPDX-License-Identifier: Apache-2.0
#include "ir/text.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "ir/interpret.hpp"
#include "ir/verify.hpp"
#include "ops/gather.hpp"
#include "ops/group.hpp"

namespace carnot::ir {
namespace {

constexpr std::string_view kSample = R"(graph main(%x: f32[batch,2*n+1], %"odd name": i64[3]) {
  metadata "key \"quoted\"" = "value\x0awith a line"
  %w = constant f32[2,2] {1, -0.5, 1e-30, inf}
  %i = constant i64[1] {-1}
  %half = constant f16[2] {0.33325195, 65504}
  %flags = constant bool[2] {true, false}
  %ones = constant f32[3,4] splat {1}
  %none = constant i32[0] {}
  %scalar = constant u8[] {255}
  %g = gather(axis=1) %x, %i : f32[batch,1] @ "Gather_1" "Gather"
  %/a/b:0 = gather %"odd name", %i : i64[1] {$3} @ "Gather_2"
  %r = group(kind="pointwise") %g, %/a/b:0 {
    graph body(%p: f32[batch,1], %q: i64[1]) {
      %t = gather %p, %q : f32[1,1]
      return %t
    }
  } : f32[1,1]
  return %r "result", %g
}
)";

std::string normalize(std::string_view text) {
  auto graph = parse(text);
  if (!graph) return "error: " + graph.error().message;
  return print(**graph);
}

TEST(Text, RoundTrip) { EXPECT_EQ(normalize(kSample), kSample); }

TEST(Text, ParsedGraphHasItsParts) {
  auto graph = parse(kSample);
  ASSERT_TRUE(graph) << graph.error().message;
  const Graph& g = **graph;
  EXPECT_EQ(g.nodes().size(), 3u);
  EXPECT_EQ(g.output_names()[0], "result");
  EXPECT_EQ(g.find("odd name")->dtype(), DType::kI64);
  EXPECT_EQ(g.find("g")->producer->where.type, "Gather");
  EXPECT_EQ(g.find("g")->uses.size(), 1u);
  EXPECT_EQ(g.metadata.at("key \"quoted\""), "value\nwith a line");
  // The text used $3, so the next fresh symbol is beyond it.
  EXPECT_EQ((*graph)->fresh_dim("").str(), "$4");
}

TEST(Text, ConstantsKeepTheirBits) {
  Graph g;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::mt19937 random(1);
  std::vector<float> many(300);
  for (float& f : many) f = static_cast<float>(random()) / 1e7f;
  std::vector<Value*> outputs{
      g.add_constant(Constant::from<float>({3}, {nan, -0.0f, 0.1f}), "a"),
      g.add_constant(Constant::from<double>({2}, {0.1, 5e-324}), "b"),
      g.add_constant(Constant::from<float>({300}, many), "c"),
      g.add_constant(Constant::from<int64_t>({2}, {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}), "d"),
      g.add_constant(Constant::from<uint64_t>({1}, {std::numeric_limits<uint64_t>::max()}), "e"),
      g.add_constant(Constant::from<bfloat16>({1}, {bfloat16(1.2345f)}), "f"),
  };
  g.set_outputs(outputs);
  const std::string text = print(g);
  auto back = parse(text);
  ASSERT_TRUE(back) << back.error().message;
  for (const Value* v : outputs) EXPECT_TRUE(v->constant->equals(*(*back)->find(v->name)->constant)) << v->name;
  EXPECT_EQ(print(**back), text);
}

TEST(Text, ElidedConstantsAreForPeople) {
  Graph g;
  std::vector<float> many(300, 1.0f);
  many[7] = 2;
  g.set_outputs({g.add_constant(Constant::from<float>({300}, many), "c")});
  const std::string text = print(g, {.elide_above = 100});
  EXPECT_NE(text.find("<elided 1200 bytes>"), std::string::npos);
  EXPECT_FALSE(parse(text));
  EXPECT_TRUE(parse(text, {.fill_elided = true}));
}

TEST(Text, ErrorsSayWhere) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "1:1: expected 'graph'"},
      {"graph main() {\n  %a = nothing : f32[]\n  return\n}", "2:8: there is no operator 'nothing'"},
      {"graph main() {\n  return %a\n}", "2:10: %a is not defined"},
      {"graph main(%x: f32[2]) {\n  %x = constant f32[] {1}\n  return\n}", "2:3: %x is defined twice"},
      {"graph main(%x: f33[2]) { return }", "1:16: 'f33' is no element type"},
      {"graph main(%x: f32[a b]) { return }", "1:20: unexpected"},
      {"graph main() { %a = constant i8[2] {1, 300} return %a }", "is no element of type i8"},
      {"graph main() { %a = constant f32[2] {1} return %a }", "expected ','"},
      {"graph main() { %a = constant f32[2] 0x00 return %a }", "bytes"},
      {"graph main() { %a = constant f32[4000000000,4000000000] splat {1} return %a }", "too large"},
      {"graph main() { %a = constant f32[-1] {} return %a }", "negative"},
      {"graph main(%x: f32[2]) { %a = gather(axes=1) %x, %x : f32[] return %a }", "no attribute 'axes'"},
      {"graph main(%x: f32[2]) { %a = gather(axis=1 %x, %x : f32[] return %a }", "unexpected text after attribute value"},
      {"graph main(%x: f32[2]) { %a = gather(axis=1\n", "missing ')'"},
      {"graph main(%x: f32[2]) { %a = gather %x, %x { graph b() { return } } : f32[] return %a }", "has 0 bodies, got 1"},
      {"graph main(%x: f32[2]) { return %x } graph", "after the graph"},
      {"graph main(%x: f32[2]) { %\"a = 1", "unterminated"},
  };
  for (const auto& [text, message] : cases) {
    auto graph = parse(text);
    ASSERT_FALSE(graph) << text;
    EXPECT_NE(graph.error().message.find(message), std::string::npos) << text << "\n  gave: " << graph.error().message;
  }
}

TEST(Text, DeepNestingIsRefused) {
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "graph g() { %a = group(kind=\"x\") { ";
  auto graph = parse(text);
  ASSERT_FALSE(graph);
  EXPECT_NE(graph.error().message.find("nested"), std::string::npos);
}

TEST(Text, EveryPrefixAndFlippedByteIsSafe) {
  const std::string sample(kSample);
  for (size_t n = 0; n <= sample.rfind('}'); ++n) EXPECT_FALSE(parse(std::string_view(sample).substr(0, n)));
  std::mt19937 random(2);
  for (int i = 0; i < 3000; ++i) {
    std::string text = sample;
    for (int k = 0; k < 3; ++k) text[random() % text.size()] = "{}()[]%,:=\"\\x0 9-_/$\n"[random() % 21];
    if (auto graph = parse(text)) {
      // Whatever was read prints to text that reads back the same.
      const std::string once = print(**graph);
      EXPECT_EQ(normalize(once), once);
    }
  }
}

TEST(Interpret, RunsNodesAndGroups) {
  auto graph = parse(R"(graph main(%x: f32[n,2]) {
    %i = constant i64[2] {1, 0}
    %swapped = gather(axis=1) %x, %i : f32[n,2]
    %y = group(kind="pointwise") %swapped, %i {
      graph body(%p: f32[n,2], %q: i64[2]) {
        %r = gather %p, %q : f32[2,2]
        return %r
      }
    } : f32[2,2]
    return %y
  })");
  ASSERT_TRUE(graph) << graph.error().message;
  ASSERT_TRUE(verify(**graph)) << verify(**graph).message();
  const Constant x = Constant::from<float>({2, 2}, {1, 2, 3, 4});
  const TensorView in[] = {x.view()};
  auto out = interpret(**graph, in);
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_TRUE((*out)[0].equals(Constant::from<float>({2, 2}, {4, 3, 2, 1})));
}

}  // namespace
}  // namespace carnot::ir
