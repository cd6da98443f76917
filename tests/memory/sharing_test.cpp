// SPDX-License-Identifier: Apache-2.0
// Buffers that share memory: which do, and that results stay those of the reference, with memory of the session's and of the caller's.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "compiler/compile.hpp"
#include "engine/writer.hpp"
#include "ir/interpret.hpp"
#include "ir/text.hpp"
#include "runtime/frame.hpp"
#include "runtime/memory_report.hpp"

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

TEST(Parts, RunsOfBytesForAnyKernel) {
  // Parts of a concatenation over the first axis, and of a split over it, are views: nothing is copied.
  constexpr std::string_view kText = R"(graph main(%x: f32[6,8], %z: f32[2,8]) {
  %s = constant i64[2] {4, 2}
  %a = softmax %x : f32[6,8]
  %b, %c = split(axis=0, num_outputs=2) %a, %s : f32[4,8], f32[2,8]
  %d = log_softmax %b : f32[4,8]
  %e = log_softmax(axis=0) %z : f32[2,8]
  %f = concat(axis=0) %d, %e : f32[6,8]
  %g = softmax(axis=0) %f : f32[6,8]
  %h = softmax(axis=0) %c : f32[2,8]
  return %g, %h
})";
  const Built b = built(kText);
  EXPECT_EQ(b.commands("cpu.concat") + b.commands("cpu.split"), 0);
  expect_same(kText, {{6, 8}, {2, 8}});
}

// Branches of an image network: convolutions, a pool and an element-wise group write into the joined image and read it again.
constexpr std::string_view kBranches = R"(graph main(%x: f32[n,16,h,w]) {
  %v = constant f32[16,16,1,1] random {1}
  %w = constant f32[24,16,3,3] random {2}
  %u = constant f32[16,56,1,1] random {3}
  %k = constant f32[16,1,1] random {4}
  %a = conv %x, %v : f32[n,16,h,w]
  %b = conv(pads=[1,1,1,1]) %a, %w : f32[n,24,h,w]
  %c = max_pool(kernel_shape=[3,3], pads=[1,1,1,1]) %a : f32[n,16,h,w]
  %d = sigmoid %c : f32[n,16,h,w]
  %e = mul %d, %k : f32[n,16,h,w]
  %j = concat(axis=1) %b, %a, %e : f32[n,56,h,w]
  %y = conv %j, %u : f32[n,16,h,w]
  %t = relu %j : f32[n,56,h,w]
  return %y, %t
})";

TEST(Parts, ChannelsOfImages) {
  const Built b = built(kBranches);
  EXPECT_EQ(b.commands("cpu.concat"), 0);
  EXPECT_EQ(std::count_if(b.plan().buffers.begin(), b.plan().buffers.end(), [](const engine::Buffer& x) { return x.pitch == 56; }), 3);
  expect_same(kBranches, {{1, 16, 9, 7}});
  expect_same(kBranches, {{3, 16, 5, 12}});
}

TEST(Parts, GrowingConcatenationsShareOneBuffer) {
  constexpr std::string_view kText = R"(graph main(%x: f32[n,16,8,8]) {
  %v = constant f32[16,16,1,1] random {1}
  %w = constant f32[16,32,3,3] random {2}
  %u = constant f32[16,48,3,3] random {3}
  %o = constant f32[8,64,1,1] random {4}
  %a = conv %x, %v : f32[n,16,8,8]
  %ab = concat(axis=1) %a, %a : f32[n,32,8,8]
  %b = conv(pads=[1,1,1,1]) %ab, %w : f32[n,16,8,8]
  %abc = concat(axis=1) %a, %ab : f32[n,48,8,8]
  %c = conv(pads=[1,1,1,1]) %abc, %u : f32[n,16,8,8]
  %all = concat(axis=1) %a, %b, %c, %b : f32[n,64,8,8]
  %y = conv %all, %o : f32[n,8,8,8]
  return %y
})";
  expect_same(kText, {{2, 16, 8, 8}});
  constexpr std::string_view kDense = R"(graph main(%x: f32[n,16,8,8]) {
  %v = constant f32[16,16,1,1] random {1}
  %w = constant f32[16,16,3,3] random {2}
  %u = constant f32[16,32,3,3] random {3}
  %o = constant f32[8,48,1,1] random {4}
  %a = conv %x, %v : f32[n,16,8,8]
  %b = conv(pads=[1,1,1,1]) %a, %w : f32[n,16,8,8]
  %ab = concat(axis=1) %a, %b : f32[n,32,8,8]
  %r = relu %ab : f32[n,32,8,8]
  %c = conv(pads=[1,1,1,1]) %r, %u : f32[n,16,8,8]
  %abc = concat(axis=1) %a, %b, %c : f32[n,48,8,8]
  %y = conv %abc, %o : f32[n,8,8,8]
  return %y
})";
  EXPECT_EQ(built(kDense).commands("cpu.concat"), 0);
  expect_same(kDense, {{2, 16, 8, 8}});
}

TEST(Parts, SplitInTheMiddleOfAJoinedImage) {
  // One half of a convolution's result goes on, both halves and what became of one are joined: the whole result moves.
  constexpr std::string_view kText = R"(graph main(%x: f32[n,16,8,8]) {
  %v = constant f32[32,16,1,1] random {1}
  %w = constant f32[16,16,3,3] random {2}
  %o = constant f32[8,48,1,1] random {4}
  %s = constant i64[2] {16, 16}
  %a = conv %x, %v : f32[n,32,8,8]
  %b, %c = split(axis=1, num_outputs=2) %a, %s : f32[n,16,8,8], f32[n,16,8,8]
  %d = conv(pads=[1,1,1,1]) %c, %w : f32[n,16,8,8]
  %e = add %d, %c : f32[n,16,8,8]
  %j = concat(axis=1) %b, %c, %e : f32[n,48,8,8]
  %y = conv %j, %o : f32[n,8,8,8]
  return %y
})";
  const Built b = built(kText);
  EXPECT_EQ(b.commands("cpu.concat") + b.commands("cpu.split"), 0);
  expect_same(kText, {{1, 16, 8, 8}});
}

// An image halved and doubled again is joined with itself: fits where both sides are even.
TEST(Parts, ShapesThatDoNotFitAreRefused) {
  constexpr std::string_view kText = R"(graph main(%x: f32[n,16,h,w]) {
  %v = constant f32[16,16,2,2] random {1}
  %u = constant f32[16,16,2,2] random {2}
  %o = constant f32[8,32,1,1] random {3}
  %t = constant f32[16,16,1,1] random {4}
  %a = conv %x, %t : f32[n,16,h,w]
  %b = conv(strides=[2,2]) %a, %v : f32[n,16,floordiv(h,2),floordiv(w,2)]
  %c = conv_transpose(strides=[2,2]) %b, %u : f32[n,16,2*floordiv(h,2),2*floordiv(w,2)]
  %j = concat(axis=1) %a, %c : f32[n,32,h,w]
  %y = conv %j, %o : f32[n,8,h,w]
  return %y
})";
  expect_same(kText, {{2, 16, 6, 8}});
  const Built b = built(kText);
  EXPECT_EQ(std::count_if(b.plan().buffers.begin(), b.plan().buffers.end(), [](const engine::Buffer& x) { return x.pitch == 32; }), 2);
  runtime::Context context{.engine = b.engine, .pool = shared_thread_pool(1)};
  runtime::Frame frame(context, 0);
  std::vector<float> x(16 * 16 * 16, 1.f);
  for (const Dims& dims : {Dims{1, 16, 5, 8}, Dims{1, 16, 6, 9}, Dims{1, 16, 7, 7}}) {
    const std::vector<TensorView> inputs{{DType::kF32, dims, x.data()}};
    const Status status = frame.run(inputs, {}, {}, nullptr);
    ASSERT_FALSE(status) << to_string(dims);
    EXPECT_EQ(status.error().code, Code::kInvalidArgument) << status.error().message;
  }
}

TEST(Parts, WhatCannotMoveIsCopied) {
  // Inputs, outputs, parts that come twice, and rows that a kernel cannot take apart (softmax).
  constexpr std::string_view kText = R"(graph main(%x: f32[4,16], %z: f32[4,16]) {
  %a = softmax %x : f32[4,16]
  %b = relu %z : f32[4,16]
  %j = concat(axis=1) %x, %a, %b, %b : f32[4,64]
  %y = sigmoid %j : f32[4,64]
  %c = relu %y : f32[4,64]
  return %c, %b
})";
  EXPECT_EQ(built(kText).commands("cpu.concat"), 1);
  expect_same(kText, {{4, 16}, {4, 16}});
}

TEST(Parts, SlicesAreReadWhereTheyLie) {
  // Columns of rows (both halves of a convolution's channels, read by kernels that know pitches), and whole rows of the first axis.
  constexpr std::string_view kColumns = R"(graph main(%x: f32[n,16,h,w]) {
  %v = constant f32[48,16,1,1] random {1}
  %w = constant f32[16,24,3,3] random {2}
  %one = constant i64[1] {1}
  %zero = constant i64[1] {0}
  %mid = constant i64[1] {24}
  %end = constant i64[1] {9223372036854775807}
  %a = conv %x, %v : f32[n,48,h,w]
  %b = slice %a, %zero, %mid, %one : f32[n,24,h,w]
  %c = slice %a, %mid, %end, %one : f32[n,24,h,w]
  %d = conv(pads=[1,1,1,1]) %b, %w : f32[n,16,h,w]
  %e = sigmoid %c : f32[n,24,h,w]
  return %d, %e
})";
  const Built columns = built(kColumns);
  EXPECT_EQ(columns.commands("cpu.slice"), 0);
  EXPECT_EQ(runtime::report_sharing(*columns.engine).parts, 2);
  expect_same(kColumns, {{1, 16, 4, 5}});
  expect_same(kColumns, {{3, 16, 7, 2}});
  constexpr std::string_view kRows = R"(graph main(%x: f32[6,8]) {
  %back = constant i64[1] {-4}
  %end = constant i64[1] {6}
  %a = softmax %x : f32[6,8]
  %b = slice %a, %back, %end : f32[4,8]
  %c = softmax(axis=0) %b : f32[4,8]
  return %c
})";
  EXPECT_EQ(built(kRows).commands("cpu.slice"), 0);
  expect_same(kRows, {{6, 8}});
}

TEST(Parts, SlicesThatAreCopied) {
  // With steps, along two axes, of an input, as an output, and small parts that would keep something large alive.
  constexpr std::string_view kText = R"(graph main(%x: f32[32,16]) {
  %zero = constant i64[1] {0}
  %eight = constant i64[1] {8}
  %four = constant i64[1] {4}
  %two = constant i64[1] {2}
  %sixteen = constant i64[1] {16}
  %both = constant i64[2] {0, 0}
  %ends = constant i64[2] {16, 8}
  %a = softmax %x : f32[32,16]
  %b = slice %a, %zero, %eight, %zero, %two : f32[4,16]
  %c = slice %a, %both, %ends : f32[16,8]
  %d = slice %a, %zero, %four : f32[4,16]
  %e = slice %x, %zero, %eight : f32[8,16]
  %f = slice %a, %eight, %sixteen : f32[8,16]
  %g = softmax %b : f32[4,16]
  %h = softmax %c : f32[16,8]
  %i = softmax %d : f32[4,16]
  %j = softmax %e : f32[8,16]
  return %g, %h, %i, %j, %f
})";
  EXPECT_EQ(built(kText).commands("cpu.slice"), 5);
  expect_same(kText, {{32, 16}});
}

TEST(Report, SaysWhatARunTakes) {
  const Built b = built(kBranches);
  const runtime::SharingReport sharing = runtime::report_sharing(*b.engine);
  EXPECT_EQ(sharing.parts, 3) << "the branches";
  EXPECT_EQ(sharing.sized_by_run, 0);
  EXPECT_LE(sharing.views + sharing.in_place + sharing.parts, b.aliases());
  for (const Dims& dims : {Dims{1, 16, 9, 7}, Dims{2, 16, 30, 20}}) {
    runtime::Context context{.engine = b.engine, .pool = shared_thread_pool(2)};
    runtime::Frame frame(context, 0);
    std::vector<float> x(static_cast<size_t>(size_of(dims)), 1.f);
    const std::vector<TensorView> inputs{{DType::kF32, dims, x.data()}};
    auto report = frame.report_memory(inputs);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(context.memory_used, 0u) << "nothing is run";
    ASSERT_TRUE(frame.run(inputs, {}, {}, nullptr));
    EXPECT_EQ(report->host.bytes + report->host.workspace, context.memory_used);
    // The joined image and the first convolution's operand at least; never more than the arena.
    const uint64_t pixels = static_cast<uint64_t>(dims[0] * dims[2] * dims[3]);
    EXPECT_GE(report->host.peak, pixels * 56 * 4);
    EXPECT_LE(report->host.peak, report->host.bytes);
    ASSERT_GE(report->host.peak_command, 0);
    EXPECT_LT(static_cast<size_t>(report->host.peak_command), b.plan().commands.size());
    EXPECT_EQ(report->device.bytes, 0u);
  }
}

TEST(Report, PeakIsWhereMostIsAlive) {
  // The wide product in the middle.
  constexpr std::string_view kText = R"(graph main(%x: f32[64,16]) {
  %v = constant f32[16,512] random {1}
  %w = constant f32[512,16] random {2}
  %a = softmax %x : f32[64,16]
  %b = matmul %a, %v : f32[64,512]
  %c = softmax %b : f32[64,512]
  %d = matmul %c, %w : f32[64,16]
  %e = softmax(axis=0) %d : f32[64,16]
  return %e
})";
  const Built b = built(kText);
  runtime::Context context{.engine = b.engine, .pool = shared_thread_pool(1)};
  runtime::Frame frame(context, 0);
  const std::vector<TensorView> inputs{{DType::kF32, {64, 16}, nullptr}};
  auto report = frame.report_memory(inputs);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->host.peak, 64u * (512 + 16) * 4);
  EXPECT_EQ(b.plan().commands[static_cast<size_t>(report->host.peak_command)].kernel, "cpu.gemm");
  EXPECT_EQ(runtime::report_sharing(*b.engine).in_place, 2) << "both softmaxes behind products";
}

// ---- hostile engines -------------------------------------------------------------------------------------------------------

std::string refused(engine::Program program) {
  auto bytes = engine::write_bytes(program, {});
  EXPECT_TRUE(bytes) << bytes.error().message;
  auto image = engine::read_bytes(*bytes, nullptr);
  if (!image) return image.error().message;
  auto engine = runtime::LoadedEngine::create(std::move(*image));
  if (!engine) return engine.error().message;
  runtime::Context context{.engine = *engine, .pool = shared_thread_pool(1)};
  runtime::Frame frame(context, 0);
  std::vector<float> memory(64, 1.f);
  const std::vector<TensorView> inputs{{DType::kF32, {4, 4}, memory.data()}};
  const Status status = frame.run(inputs, {}, {}, nullptr);
  return status ? "" : status.error().message;
}

// x -> relu -> the buffer changed -> relu -> y.
engine::Program small(const engine::Buffer& changed, const std::string& kernel) {
  engine::Program p;
  engine::Plan plan;
  plan.buffers = {{DType::kF32, engine::BufferKind::kInput, {4, 4}}, {DType::kF32, engine::BufferKind::kTemp, {4, 8}}, changed, {DType::kF32, engine::BufferKind::kTemp, changed.shape}};
  const Attrs params = kernel.starts_with("ref:") ? Attrs() : Attrs{{"program", std::string("in f32; relu $0; out f32:%0")}};
  plan.commands = {{kernel, params, {0}, {2}, {}, "a", ""}, {kernel, params, {2}, {3}, {}, "b", ""}};
  plan.inputs = {0};
  plan.outputs = {3};
  p.plans = {plan};
  p.input_names = {"x"};
  p.output_names = {"y"};
  return p;
}

TEST(Hostile, BuffersOutsideTheirOwnersAreRefused) {
  const Shape shape{4, 4};
  auto part = [&](uint64_t offset, int64_t pitch) { return engine::Buffer{DType::kF32, engine::BufferKind::kTemp, shape, 0, 1, offset, engine::Place::kHost, pitch}; };
  EXPECT_EQ(refused(small(part(16, 8), "cpu.pointwise")), "") << "the good case";
  EXPECT_NE(refused(small(part(20, 8), "cpu.pointwise")).find("does not fit"), std::string::npos);
  EXPECT_NE(refused(small(part(0, 10), "cpu.pointwise")), "") << "rows reach behind the owner";
  EXPECT_NE(refused(small(part(uint64_t{1} << 63, 8), "cpu.pointwise")), "");
  EXPECT_NE(refused(small(part(~uint64_t{0} - 8, 8), "cpu.pointwise")), "");
  EXPECT_NE(refused(small(part(0, 3), "cpu.pointwise")).find("too close"), std::string::npos);
  EXPECT_NE(refused(small(part(0, int64_t{1} << 61), "cpu.pointwise")).find("too close"), std::string::npos);
  EXPECT_NE(refused(small(part(0, int64_t{1} << 40), "cpu.pointwise")), "");
  EXPECT_NE(refused(small(part(0, -1), "cpu.pointwise")), "");
  EXPECT_NE(refused(small(part(16, 8), "ref:relu")).find("rows lie apart"), std::string::npos) << "references know no pitch";
  engine::Buffer alone = part(0, 8);
  alone.alias = -1;
  EXPECT_NE(refused(small(alone, "cpu.pointwise")).find("in no other"), std::string::npos);
  alone = part(0, 0);
  alone.alias = 2;
  EXPECT_NE(refused(small(alone, "cpu.pointwise")).find("does not exist"), std::string::npos) << "inside itself";
  engine::Program output = small(part(16, 8), "cpu.pointwise");
  output.plans[0].outputs = {2};
  EXPECT_NE(refused(output).find("an output"), std::string::npos);
}

}  // namespace
}  // namespace carnot
