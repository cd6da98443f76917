// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>

#include "carnot/network.hpp"

namespace {

using carnot::Network;
using carnot::Value;

std::map<std::string, std::vector<float>> run(const Network& net, const std::map<std::string, carnot::TensorRef>& feeds) {
  const std::vector<std::byte> bytes = net.build();
  const carnot::Engine engine = carnot::Engine::load(bytes.data(), bytes.size());
  carnot::Session session(engine, {.threads = 2});
  std::map<std::string, std::vector<float>> out;
  for (const auto& [name, t] : session.run(feeds)) out[name].assign(t.data<float>(), t.data<float>() + t.size());
  return out;
}

template <typename Fn>
std::string message_of(Fn fn, carnot_status status = CARNOT_INVALID_ARGUMENT) {
  try {
    fn();
  } catch (const carnot::Exception& e) {
    EXPECT_EQ(e.status(), status) << e.what();
    return e.what();
  }
  return "no error";
}
void expect_has(const std::string& text, std::string_view part) { EXPECT_NE(text.find(part), std::string::npos) << text; }

TEST(Network, ConvolutionPoolingAndHead) {
  Network net;
  Value x = net.input("x", CARNOT_F32, {"batch", 1, 4, 4});
  const std::vector<float> blur(9, 1.0f), head{1, -1, 1, -1, 1, -1, 1, -1}, bias{0.5f, 0};
  x = net.relu(net.conv(x, net.constant(blur.data(), {1, 1, 3, 3}), {.pads = {1, 1, 1, 1}}, "blur"));
  x = net.max_pool(x, {2, 2}, {.strides = {2, 2}});
  EXPECT_EQ(x.shape(), (std::vector<std::string>{"batch", "1", "2", "2"}));
  x = net.linear(net.flatten(x), net.constant(head.data(), {4, 2}), net.constant(bias.data(), {2}), "head");
  net.output(x, "scores");
  net.output(net.softmax(x), "probabilities");
  net.metadata("task", "test");
  const std::vector<float> ones(16, 1.0f);
  const auto out = run(net, {{"x", carnot::tensor(ones.data(), {1, 1, 4, 4})}});
  // The blur of ones counts the neighbours: 9 in the middle, which every pooling window touches once.
  EXPECT_NEAR(out.at("scores")[0], 36.5f, 1e-4f);
  EXPECT_NEAR(out.at("scores")[1], -36.0f, 1e-4f);
  EXPECT_NEAR(out.at("probabilities")[0], 1.0f, 1e-6f);
}

TEST(Network, RangesAreKeptAndKeptTo) {
  Network net;
  const Value x = net.input("x", CARNOT_F32, {"batch", "length"});
  net.output(net.softmax(net.relu(x)), "y");
  const std::vector<std::byte> bytes = net.build({.shapes = {{"x", {{1, 4}, {2, 100}, {8, 200}}}}});
  const carnot::Engine engine = carnot::Engine::load(bytes.data(), bytes.size());
  const carnot::IoInfo io = engine.inputs().at(0);
  EXPECT_EQ(io.min, (std::vector<int64_t>{1, 4}));
  EXPECT_EQ(io.opt, (std::vector<int64_t>{2, 100}));
  EXPECT_EQ(io.max, (std::vector<int64_t>{8, 200}));
  EXPECT_TRUE(engine.outputs().at(0).max.empty());
  carnot_range range{};
  EXPECT_EQ(carnot_engine_input_range(engine.get(), 1, &range), CARNOT_INVALID_ARGUMENT);
  EXPECT_EQ(carnot_engine_input_range(engine.get(), 0, nullptr), CARNOT_INVALID_ARGUMENT);

  carnot::Session session(engine, {.threads = 1});
  const size_t reserved = session.memory();
  EXPECT_GE(reserved, 8u * 200 * 4);
  const std::vector<float> data(9 * 200, 0.5f);
  for (int64_t n = 1; n <= 8; ++n) EXPECT_NEAR(session.run({{"x", carnot::tensor(data.data(), {n, 25 * n})}}).at("y").data<float>()[0], 1.f / (25 * n), 1e-6f);
  EXPECT_EQ(session.memory(), reserved);
  expect_has(message_of([&] { session.run({{"x", carnot::tensor(data.data(), {9, 200})}}); }), "input 'x' is 9 in dimension 0 ('batch'), the engine was built for 1 to 8");
  EXPECT_EQ(message_of([&] { carnot::Session(engine, {.memory_limit = 64}); }, CARNOT_OUT_OF_MEMORY).find("for the largest inputs of the ranges"), 0u);
}

TEST(Network, AnyOperatorByName) {
  Network net;
  const Value x = net.input("x", CARNOT_F32, {3});
  net.output(net.add("leaky_relu", {x}, {{"alpha", 0.5}}), "y");
  net.output(net.add("cast", {net.add("cast", {x}, {{"to", CARNOT_I32}})}, {{"to", CARNOT_F32}}), "z");
  const std::vector<float> in{-2, 0.75f, 3};
  const auto out = run(net, {{"x", carnot::tensor(in.data(), {3})}});
  EXPECT_EQ(out.at("y"), (std::vector<float>{-1, 0.75f, 3}));
  EXPECT_EQ(out.at("z"), (std::vector<float>{-2, 0, 3}));
  EXPECT_GT(Network::operators().size(), 50u);
}

TEST(Network, BothBranchesOfAnIf) {
  Network net;
  const Value x = net.input("x", CARNOT_F32, {"n"});
  const Value cond = net.input("cond", CARNOT_BOOL, {});
  Network yes = net.body("yes"), no = net.body("no");
  const Value a = yes.input("a", CARNOT_F32, {"n"}), b = no.input("b", CARNOT_F32, {"n"});
  yes.output(yes.sum(a, a));
  no.output(no.add("neg", {b}));
  net.output(net.add_many("if", {cond, x}, {}, {.name = "choose", .bodies = {&yes, &no}})[0], "y");
  const std::vector<float> in{1, 2};
  for (const bool c : {true, false}) {
    const auto out = run(net, {{"x", carnot::tensor(in.data(), {2})}, {"cond", carnot::tensor(&c, {})}});
    EXPECT_EQ(out.at("y"), c ? (std::vector<float>{2, 4}) : (std::vector<float>{-1, -2}));
  }
  expect_has(message_of([&] { yes.input("late", CARNOT_F32, {1}); }), "has become part of a network");
}

TEST(Network, LstmHasThreeOutputs) {
  Network net;
  const Value x = net.input("x", CARNOT_F32, {"time", 1, 2});
  const std::vector<float> w(4 * 3 * 2, 0.1f), r(4 * 3 * 3, 0.2f);
  const auto out = net.lstm(x, net.constant(w.data(), {1, 12, 2}), net.constant(r.data(), {1, 12, 3}));
  EXPECT_EQ(out.y.shape(), (std::vector<std::string>{"time", "1", "1", "3"}));
  EXPECT_EQ(out.h.shape(), (std::vector<std::string>{"1", "1", "3"}));
  net.output(out.c, "c");
  const std::vector<float> in{1, 1};
  const double gate = 1 / (1 + std::exp(-0.2));
  EXPECT_NEAR(run(net, {{"x", carnot::tensor(in.data(), {1, 1, 2})}}).at("c")[0], gate * std::tanh(0.2), 1e-6);
}

TEST(Network, MistakesAreNamed) {
  Network net, other;
  const Value x = net.input("x", CARNOT_F32, {"batch", 3});
  const Value foreign = other.input("x", CARNOT_F32, {3});
  const std::vector<float> w(8, 1.0f);
  expect_has(message_of([&] { net.linear(x, net.constant(w.data(), {4, 2}), {}, "head"); }), "node 'head' (matmul)");
  expect_has(message_of([&] { net.add("softmaxx", {x}); }, CARNOT_NOT_FOUND), "did you mean 'softmax'");
  expect_has(message_of([&] { net.add("softmax", {x}, {{"axes", 1}}); }), "no attribute 'axes'");
  expect_has(message_of([&] { net.sum(x, foreign, "both"); }), "'both'");
  expect_has(message_of([&] { net.input("x", CARNOT_F32, {1}); }), "taken");
  expect_has(message_of([&] { net.input("y", CARNOT_F32, {-1}); }), "negative");
  expect_has(message_of([&] { net.build(); }), "no outputs");
  net.output(x, "a");
  expect_has(message_of([&] { net.output(x, "a"); }), "two outputs");
  expect_has(message_of([&] { Value().name(); }), "empty value");
}

TEST(Network, TheSameNetworkGivesTheSameBytes) {
  Network net;
  const std::vector<float> w(64, 0.25f);
  net.output(net.matmul(net.input("x", CARNOT_F32, {"n", 8}), net.constant(w.data(), {8, 8})), "y");
  EXPECT_EQ(net.build(), net.build());
}

TEST(Network, TimesAreKeptFromBuildToBuild) {
  Network net;
  const std::vector<float> w(64 * 96, 0.25f);
  net.output(net.matmul(net.input("x", CARNOT_F32, {"n", 64}), net.constant(w.data(), {64, 96})), "y");
  const std::string cache = testing::TempDir() + "carnot_network_times";
  std::remove(cache.c_str());
  carnot::TuneResult result;
  const carnot::BuildSettings settings{.effort = "tune", .threads = 1, .timing_cache = cache, .on_tune = [&](const carnot::TuneResult& r) { result = r; }};
  const auto first = net.build(settings);
  EXPECT_EQ(result.problems, 1u);
  EXPECT_EQ(result.timed, 1u);
  EXPECT_GT(result.candidates, 2u);
  expect_has(result.text, "1 problems");
  EXPECT_EQ(net.build(settings), first);
  EXPECT_EQ(result.timed, 0u);
  EXPECT_EQ(result.cached, 1u);
  std::remove(cache.c_str());
  expect_has(message_of([&] { (void)net.build({.effort = "best"}); }), "write heuristic, tune or exhaustive");
}

}  // namespace
