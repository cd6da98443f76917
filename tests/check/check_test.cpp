// SPDX-License-Identifier: Apache-2.0
#include "compiler/check.hpp"

#include <gtest/gtest.h>

#include <set>

#include "compiler/compile.hpp"
#include "compiler/trial.hpp"
#include "ir/text.hpp"

namespace carnot::compiler {
namespace {

// A network whose second convolution has the weights of `seed`.
std::string network(int seed) {
  return fmt::format(R"(graph main(%x: f32[batch,3,12,10]) {{
  %w1 = constant f32[16,3,3,3] random {{1}}
  %w2 = constant f32[16,16,3,3] random {{{}}}
  %w3 = constant f32[8,16,1,1] random {{3}}
  %a = conv(pads=[1, 1, 1, 1]) %x, %w1 : f32[batch,16,12,10] @ "first" "Conv"
  %b = relu %a : f32[batch,16,12,10] @ "first_relu" "Relu"
  %c = conv(pads=[1, 1, 1, 1]) %b, %w2 : f32[batch,16,12,10] @ "second" "Conv"
  %d = relu %c : f32[batch,16,12,10] @ "second_relu" "Relu"
  %e = conv %d, %w3 : f32[batch,8,12,10] @ "third" "Conv"
  return %e "y"
}})",
                     seed);
}

std::unique_ptr<ir::Graph> parsed(std::string_view text) {
  auto graph = ir::parse(text);
  EXPECT_TRUE(graph) << graph.error().message;
  return std::move(*graph);
}

CheckReport checked(std::string_view source_text, std::string_view engine_text) {
  auto compiled = compile_traced(parsed(engine_text), {});
  EXPECT_TRUE(compiled) << compiled.error().message;
  const auto source = parsed(source_text);
  auto report = check_engine(*source, compiled->bytes, compiled->sources, {.sizes = trial_sizes(*source, {}, Trial::kCheck), .threads = 1});
  EXPECT_TRUE(report) << report.error().message;
  return *report;
}

TEST(Check, GoodEnginePasses) {
  const CheckReport report = checked(network(2), network(2));
  EXPECT_TRUE(report.passed()) << report.str();
  ASSERT_EQ(report.outputs.size(), 1u);
  EXPECT_EQ(report.outputs[0].name, "y");
  EXPECT_EQ(report.inputs, "x f32[2,3,12,10]");
  // Fused and with channels last, the layers are still known: both activations and the last convolution.
  std::vector<std::string> names;
  for (const CheckedValue& v : report.layers) {
    EXPECT_TRUE(v.passed()) << v.name;
    names.push_back(v.name);
  }
  for (const char* name : {"b", "d", "e"}) EXPECT_NE(std::find(names.begin(), names.end(), name), names.end()) << name;
}

// Convolutions that write their channels into the joined image: their rows lie apart, and are compared all the same.
TEST(Check, PartsOfAConcatenationAreCompared) {
  const auto text = [](int seed) {
    return fmt::format(R"(graph main(%x: f32[batch,16,6,5]) {{
  %w1 = constant f32[16,16,3,3] random {{1}}
  %w2 = constant f32[24,16,1,1] random {{{}}}
  %w3 = constant f32[8,40,1,1] random {{3}}
  %a = conv(pads=[1, 1, 1, 1]) %x, %w1 : f32[batch,16,6,5] @ "first" "Conv"
  %b = conv %a, %w2 : f32[batch,24,6,5] @ "second" "Conv"
  %j = concat(axis=1) %a, %b : f32[batch,40,6,5] @ "join" "Concat"
  %y = conv %j, %w3 : f32[batch,8,6,5] @ "third" "Conv"
  return %y "y"
}})",
                       seed);
  };
  const CheckReport good = checked(text(2), text(2));
  EXPECT_TRUE(good.passed()) << good.str();
  std::set<std::string> names;
  for (const CheckedValue& v : good.layers) {
    EXPECT_TRUE(v.passed()) << v.name;
    names.insert(v.name);
  }
  EXPECT_TRUE(names.count("a") && names.count("b") && !names.count("j")) << "the concatenation has no command";
  const CheckReport wrong = checked(text(2), text(5));
  ASSERT_NE(wrong.first_bad(), nullptr);
  EXPECT_EQ(wrong.first_bad()->name, "b");
}

TEST(Check, WrongLayerIsNamed) {
  const CheckReport report = checked(network(2), network(5));
  EXPECT_FALSE(report.passed());
  ASSERT_NE(report.first_bad(), nullptr);
  EXPECT_EQ(report.first_bad()->name, "d");
  EXPECT_NE(report.first_bad()->where.find("second"), std::string::npos);
  EXPECT_EQ(report.first_bad()->kernel, "cpu.conv");
  EXPECT_NE(report.str().find("OUT OF TOLERANCE"), std::string::npos);
  EXPECT_GT(report.worst(1).at(0).difference.relative, 1e-3);
}

TEST(Check, CompileRefusesWhatIsOutOfTolerance) {
  BuildOptions options{.check = true};
  bool passed = false;
  options.on_check = [&](const CheckReport& report) { passed = report.passed(); };
  EXPECT_TRUE(compile(parsed(network(2)), options));
  EXPECT_TRUE(passed);
  options.check_tolerance = 1e-15;
  const auto refused = compile(parsed(network(2)), options);
  ASSERT_FALSE(refused);
  EXPECT_FALSE(passed);
  EXPECT_NE(refused.error().message.find("output 'y' differs from the reference"), std::string::npos) << refused.error().message;
}

TEST(Check, SameBytesWithAndWithout) {
  const auto plain = compile(parsed(network(2)), {}), with = compile(parsed(network(2)), {.check = true});
  ASSERT_TRUE(plain && with);
  EXPECT_EQ(*plain, *with);
}

TEST(Check, CanBeCancelled) {
  BuildOptions options{.check = true};
  options.progress = [](std::string_view phase, double) { return phase != "check"; };
  const auto result = compile(parsed(network(2)), options);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kCancelled);
}

TEST(Check, SizesComeFromTheRangeOrTheName) {
  const auto graph = parsed("graph main(%x: f32[batch,3,height,q], %z: i64[batch,seq_len]) { %y = relu %x : f32[batch,3,height,q] return %y }");
  const auto check = trial_sizes(*graph, {}, Trial::kCheck), timing = trial_sizes(*graph, {}, Trial::kTiming);
  EXPECT_EQ(check.at("batch"), 2);
  EXPECT_EQ(check.at("seq_len"), 16);
  EXPECT_EQ(timing.at("batch"), 1);
  EXPECT_EQ(timing.at("height"), 224);
  const auto given = trial_sizes(*graph, {{"x", {{1, 3, 8, 8}, {4, 3, 16, 32}, {8, 3, 64, 64}}}}, Trial::kTiming);
  EXPECT_EQ(given.at("batch"), 4);
  EXPECT_EQ(given.at("q"), 32);
}

TEST(Check, IndicesStayInsideTheirTable) {
  const auto graph = parsed(R"(graph main(%i: i64[64]) {
  %t = constant f32[9,2] random {1}
  %y = gather %t, %i : f32[64,2]
  return %y
})");
  auto inputs = trial_inputs(*graph, {});
  ASSERT_TRUE(inputs);
  const auto values = (*inputs)[0].view().span<int64_t>();
  EXPECT_EQ(*std::max_element(values.begin(), values.end()), 8);
  EXPECT_EQ(*std::min_element(values.begin(), values.end()), 0);
}

TEST(Compare, RangeCosineAndLayouts) {
  const auto a = Constant::from<float>({1, 2, 2, 1}, {0, 1, 2, 4}), b = Constant::from<float>({1, 2, 2, 1}, {0, 1, 2, 3});
  const Difference d = compare_values(a.view(), b.view());
  EXPECT_DOUBLE_EQ(d.max_abs, 1);
  EXPECT_DOUBLE_EQ(d.relative, 0.25);
  EXPECT_LT(d.cosine, 1);
  const auto last = Constant::from<float>({1, 2, 1, 2}, {0, 2, 1, 4});
  EXPECT_NE(compare_values(a.view(), last.view()).problem, "");
  EXPECT_EQ(compare_values(a.view(), last.view(), true).max_abs, 0);
  const auto nan = Constant::from<float>({1, 2, 2, 1}, {0, 1, 2, NAN});
  EXPECT_NE(compare_values(a.view(), nan.view()).problem, "");
  EXPECT_EQ(compare_values(nan.view(), nan.view()).problem, "");
}

}  // namespace
}  // namespace carnot::compiler
