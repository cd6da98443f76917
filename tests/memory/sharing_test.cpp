// SPDX-License-Identifier: Apache-2.0
// Buffers that share memory: which do, and that results stay those of the reference, with memory of the session's and of the caller's.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "compiler/compile.hpp"
#include "ir/interpret.hpp"
#include "ir/text.hpp"
#include "runtime/frame.hpp"

namespace carnot {
namespace {

std::unique_ptr<ir::Graph> parsed(std::string_view text) {
  auto graph = ir::parse(text);
  EXPECT_TRUE(graph) << graph.error().message;
  return std::move(*graph);
}

struct Built {
  std::vector<std::byte> bytes;
  std::shared_ptr<const runtime::LoadedEngine> engine;
  const engine::Plan& plan() const { return engine->program().plans[0]; }
  // Buffers that lie inside another.
  int64_t aliases() const {
    return std::count_if(plan().buffers.begin(), plan().buffers.end(), [](const engine::Buffer& b) { return b.alias >= 0; });
  }
  int64_t commands(std::string_view kernel) const {
    return std::count_if(plan().commands.begin(), plan().commands.end(), [&](const engine::Command& c) { return c.kernel == kernel; });
  }
};

Built built(std::string_view text) {
  Built b;
  auto bytes = compiler::compile(parsed(text), {});
  EXPECT_TRUE(bytes) << bytes.error().message;
  b.bytes = std::move(*bytes);
  auto image = engine::read_bytes(b.bytes, nullptr);
  EXPECT_TRUE(image) << image.error().message;
  auto engine = runtime::LoadedEngine::create(std::move(*image));
  EXPECT_TRUE(engine) << engine.error().message;
  b.engine = std::move(*engine);
  return b;
}

// Runs the graph on the reference and as an engine, twice, then into memory of the caller's. `dims`: of each input. Returns the working
// memory of the engine.
uint64_t expect_same(std::string_view text, const std::vector<Dims>& dims) {
  const auto graph = parsed(text);
  const Built b = built(text);
  std::mt19937 rng(7);
  std::normal_distribution<float> normal;
  std::vector<Constant> inputs;
  for (const Dims& d : dims) {
    inputs.push_back(Constant::allocate(DType::kF32, d));
    for (int64_t i = 0; i < inputs.back().size(); ++i) static_cast<float*>(inputs.back().mutable_data())[i] = normal(rng);
  }
  std::vector<TensorView> views;
  for (const Constant& c : inputs) views.push_back(c.view());
  auto wanted = ir::interpret(*graph, views);
  EXPECT_TRUE(wanted) << wanted.error().message;

  runtime::Context context{.engine = b.engine, .pool = shared_thread_pool(2)};
  runtime::Frame frame(context, 0);
  const size_t outputs = wanted->size();
  auto compare = [&](size_t i, const float* got) {
    const Constant& want = (*wanted)[i];
    for (int64_t k = 0; k < want.size(); ++k) ASSERT_NEAR(got[k], want.as<float>()[k], 1e-4f * (1 + std::abs(want.as<float>()[k]))) << "output " << i << " at " << k;
  };
  for (int run = 0; run < 2; ++run) {
    const Status status = frame.run(views, {}, {}, nullptr);
    EXPECT_TRUE(status) << status.error().message;
    for (size_t i = 0; i < outputs; ++i) {
      EXPECT_EQ(frame.output(i).dims, (*wanted)[i].dims);
      compare(i, frame.output(i).as<float>());
    }
  }
  std::vector<std::vector<float>> own;
  std::vector<void*> bound;
  std::vector<size_t> bytes;
  for (const Constant& c : *wanted) own.emplace_back(static_cast<size_t>(c.size()) + 1, -77.f);
  for (auto& memory : own) {
    bound.push_back(memory.data());
    bytes.push_back((memory.size() - 1) * sizeof(float));
  }
  const Status status = frame.run(views, bound, bytes, nullptr);
  EXPECT_TRUE(status) << status.error().message;
  for (size_t i = 0; i < outputs; ++i) {
    compare(i, own[i].data());
    EXPECT_EQ(own[i].back(), -77.f) << "written behind the caller's memory";
  }
  // And back to the session's.
  EXPECT_TRUE(frame.run(views, std::vector<void*>(outputs, nullptr), std::vector<size_t>(outputs, 0), nullptr));
  for (size_t i = 0; i < outputs; ++i) compare(i, frame.output(i).as<float>());
  return context.memory_used;
}

TEST(InPlace, ChainTakesOneBuffer) {
  constexpr std::string_view kText = R"(graph main(%x: f32[64,64]) {
  %a = softmax %x : f32[64,64]
  %b = log_softmax(axis=0) %a : f32[64,64]
  %c = relu %b : f32[64,64]
  %d = softmax %c : f32[64,64]
  return %d
})";
  EXPECT_EQ(built(kText).aliases(), 3);
  EXPECT_EQ(expect_same(kText, {{64, 64}}), 64u * 64 * 4);
}

TEST(InPlace, DynamicSizesToo) {
  constexpr std::string_view kText = R"(graph main(%x: f32[n,m]) {
  %a = softmax %x : f32[n,m]
  %b = log_softmax(axis=0) %a : f32[n,m]
  return %b
})";
  EXPECT_EQ(built(kText).aliases(), 1);
  expect_same(kText, {{5, 9}});
}

TEST(InPlace, OperandsThatLiveOnAreKept) {
  // %a is read again after %b, %b is an output, %c is read twice by one command under two shapes.
  constexpr std::string_view kText = R"(graph main(%x: f32[8,8]) {
  %a = softmax %x : f32[8,8]
  %b = softmax(axis=0) %a : f32[8,8]
  %c = log_softmax %a : f32[8,8]
  %s = constant i64[3] {8, 8, 1}
  %t = reshape %c, %s : f32[8,8,1]
  %e = add %t, %c : f32[8,8,8]
  %d = softmax(axis=0) %b : f32[8,8]
  return %b, %d, %e
})";
  EXPECT_EQ(built(kText).aliases(), 2) << "the reshape, and %c on %a which ends there";
  expect_same(kText, {{8, 8}});
}

TEST(InPlace, BroadcastOperandsAreNotWrittenOver) {
  constexpr std::string_view kText = R"(graph main(%x: f32[1,64], %z: f32[64,64]) {
  %a = softmax %x : f32[1,64]
  %b = softmax %z : f32[64,64]
  %c = sub %a, %b : f32[64,64]
  %d = softmax(axis=0) %c : f32[64,64]
  return %d
})";
  EXPECT_EQ(built(kText).aliases(), 2) << "%c on %b, %d on %c";
  expect_same(kText, {{1, 64}, {64, 64}});
}

TEST(InPlace, SumsOnTheResidual) {
  constexpr std::string_view kText = R"(graph main(%x: f32[33,48]) {
  %w = constant f32[48,48] random {1}
  %v = constant f32[48,48] random {2}
  %a = softmax %x : f32[33,48]
  %b = matmul %a, %w : f32[33,48]
  %c = relu %b : f32[33,48]
  %d = matmul %c, %v : f32[33,48]
  %e = add %d, %a : f32[33,48]
  %y = relu %e : f32[33,48]
  return %y
})";
  const Built b = built(kText);
  EXPECT_EQ(b.commands("cpu.gemm"), 2);
  EXPECT_EQ(b.aliases(), 1);
  expect_same(kText, {{33, 48}});
}

TEST(InPlace, NotWhereTheResidualIsReadAfterTheStore) {
  constexpr std::string_view kText = R"(graph main(%x: f32[33,48]) {
  %w = constant f32[48,48] random {1}
  %a = softmax %x : f32[33,48]
  %z = log_softmax %x : f32[33,48]
  %d = matmul %z, %w : f32[33,48]
  %g = sigmoid %d : f32[33,48]
  %e = add %g, %a : f32[33,48]
  return %e
})";
  EXPECT_EQ(built(kText).aliases(), 0);
  expect_same(kText, {{33, 48}});
}

}  // namespace
}  // namespace carnot
