// SPDX-License-Identifier: Apache-2.0
// Engines on the subject against engines of the CPU: results, placement, memory of the caller's, queues, sessions side by side, limits.
#include <thread>

#include "compiler/check.hpp"
#include "compiler/compile.hpp"
#include "engines.hpp"
#include "graphs.hpp"
#include "ir/text.hpp"
#include "subject.hpp"

namespace carnot::test {
namespace {

struct Case {
  const char* name;
  const char* text;
  std::vector<Sizes> sizes;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> list{
      {"dense", kDense, {{{"n", 3}}, {{"n", 1}}, {{"n", 40}}}},
      {"image", kImage, {{{"n", 1}, {"h", 12}, {"w", 10}}, {{"n", 2}, {"h", 9}, {"w", 17}}}},
      {"moves", kMoves, {{{"n", 2}}, {{"n", 5}}}},
      {"sizes", kSizes, {{{"n", 9}}, {{"n", 30}}}},
      {"loop", kLoop, {{{"n", 2}}, {{"n", 4}}}},
      {"if", kIf, {{{"n", 2}}, {{"n", 4}}}},
      {"outputs", kOutputs, {{{"n", 5}}, {{"n", 1}}}},
  };
  return list;
}

class Engines : public testing::TestWithParam<size_t> {};

// Each size three times in a row with other values, so that the device's work runs at first, is recorded, and is replayed; then all sizes
// in turn.
TEST_P(Engines, AgreeWithTheCpu) {
  const Case& c = cases()[GetParam()];
  const Built cpu(c.text, "cpu"), built(c.text, build_target());
  Sitting wanted(cpu), got(built);
  uint32_t seed = 1;
  for (int round = 0; round < 2; ++round)
    for (const Sizes& sizes : c.sizes)
      for (int run = 0; run < (round == 0 ? 4 : 1); ++run) {
        const auto inputs = inputs_of(c.text, sizes, seed++);
        expect_near(got.answers(inputs), wanted.answers(inputs), fmt::format("{} round {} run {}", c.name, round, run));
      }
}

TEST_P(Engines, WriteToMemoryOfTheHost) {
  const Case& c = cases()[GetParam()];
  const Built cpu(c.text, "cpu"), built(c.text, build_target());
  Sitting wanted(cpu), got(built);
  for (uint32_t seed = 1; seed < 4; ++seed) {
    const auto inputs = inputs_of(c.text, c.sizes[0], seed);
    const auto expected = wanted.answers(inputs);
    std::vector<Constant> mine;
    for (size_t i = 0; i < expected.size(); ++i) {
      mine.push_back(Constant::allocate(expected[i].dtype, expected[i].dims));
      const carnot_tensor t{static_cast<carnot_dtype>(mine[i].dtype), mine[i].dims.size(), mine[i].dims.data(), mine[i].mutable_data(), mine[i].bytes()};
      ASSERT_EQ(carnot_session_set_output(got.get(), got.output_names[i].c_str(), &t), CARNOT_OK) << carnot_last_error();
    }
    got.feed(inputs);
    ASSERT_EQ(got.run(), CARNOT_OK) << carnot_last_error();
    expect_near(mine, expected, c.name);
    for (const std::string& name : got.output_names) ASSERT_EQ(carnot_session_set_output(got.get(), name.c_str(), nullptr), CARNOT_OK);
  }
}

// Memory of the device for all inputs and outputs, on the caller's own queue, without waiting in between.
TEST_P(Engines, TakeAndGiveMemoryOfTheDevice) {
  if (on_cpu()) GTEST_SKIP() << "the host has one memory";
  const Case& c = cases()[GetParam()];
  const Built cpu(c.text, "cpu"), built(c.text, build_target());
  auto stream = the_device().make_stream();
  ASSERT_TRUE(stream);
  carnot_session_options options{};
  options.stream = (*stream)->native();
  Sitting wanted(cpu), got(built, options);
  const auto memory = [&](size_t bytes) { return *the_device().allocate(bytes, device::Place::kDevice); };
  for (uint32_t seed = 1; seed < 5; ++seed) {
    const auto inputs = inputs_of(c.text, c.sizes[0], seed);
    const auto expected = wanted.answers(inputs);
    std::vector<device::Memory> given, taken;
    for (size_t i = 0; i < inputs.size(); ++i) {
      given.push_back(memory(inputs[i].bytes()));
      ASSERT_TRUE((*stream)->copy(given[i].get(), inputs[i].data, inputs[i].bytes()));
      const carnot_tensor t{static_cast<carnot_dtype>(inputs[i].dtype), inputs[i].dims.size(), inputs[i].dims.data(), given[i].get(), inputs[i].bytes()};
      ASSERT_EQ(carnot_session_set_input_in(got.get(), got.input_names[i].c_str(), &t, CARNOT_MEMORY_DEVICE), CARNOT_OK) << carnot_last_error();
    }
    for (size_t i = 0; i < expected.size(); ++i) {
      taken.push_back(memory(expected[i].bytes()));
      const carnot_tensor t{static_cast<carnot_dtype>(expected[i].dtype), expected[i].dims.size(), expected[i].dims.data(), taken[i].get(), expected[i].bytes()};
      ASSERT_EQ(carnot_session_set_output_in(got.get(), got.output_names[i].c_str(), &t, CARNOT_MEMORY_DEVICE), CARNOT_OK) << carnot_last_error();
    }
    ASSERT_EQ(carnot_session_enqueue(got.get()), CARNOT_OK) << carnot_last_error();
    std::vector<Constant> mine;
    for (size_t i = 0; i < expected.size(); ++i) {
      mine.push_back(Constant::allocate(expected[i].dtype, expected[i].dims));
      ASSERT_TRUE((*stream)->copy(mine[i].mutable_data(), taken[i].get(), mine[i].bytes()));
    }
    ASSERT_TRUE((*stream)->wait());
    expect_near(mine, expected, fmt::format("{} run {}", c.name, seed));
    ASSERT_EQ(carnot_session_wait(got.get()), CARNOT_OK);
  }
}

TEST_P(Engines, EnqueueThenWait) {
  const Case& c = cases()[GetParam()];
  const Built cpu(c.text, "cpu"), built(c.text, build_target());
  Sitting wanted(cpu), got(built);
  for (uint32_t seed = 1; seed < 5; ++seed) {
    const auto inputs = inputs_of(c.text, c.sizes[seed % c.sizes.size()], seed);
    got.feed(inputs);
    ASSERT_EQ(carnot_session_enqueue(got.get()), CARNOT_OK) << carnot_last_error();
    ASSERT_EQ(carnot_session_wait(got.get()), CARNOT_OK) << carnot_last_error();
    expect_near(got.outputs(), wanted.answers(inputs), c.name);
  }
}

TEST_P(Engines, SessionsRunSideBySide) {
  const Case& c = cases()[GetParam()];
  const Built cpu(c.text, "cpu"), built(c.text, build_target());
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      Sitting wanted(cpu), got(built);
      for (uint32_t run = 0; run < 5; ++run) {
        const auto inputs = inputs_of(c.text, c.sizes[(run + t) % c.sizes.size()], run * 10 + t);
        expect_near(got.answers(inputs), wanted.answers(inputs), c.name);
      }
    });
  for (std::thread& t : threads) t.join();
}

TEST_P(Engines, ProfileNamesEveryCommand) {
  const Case& c = cases()[GetParam()];
  const Built built(c.text, build_target());
  carnot_session_options options{};
  options.profile = 1;
  Sitting sitting(built, options);
  const auto inputs = inputs_of(c.text, c.sizes[0], 1);
  Sitting plain(built);
  expect_near(sitting.answers(inputs), plain.answers(inputs), c.name);
  const std::string profile = carnot_session_profile_json(sitting.get());
  EXPECT_EQ(profile.find("\"calls\":0"), std::string::npos) << profile;
}

INSTANTIATE_TEST_SUITE_P(Graphs, Engines, testing::Range(size_t{0}, cases().size()), [](const auto& info) { return std::string(cases()[info.param].name); });

// What If and its branches read passes through the host, so each branch brings its two operands and takes its result back.
TEST(Placement, WorkIsOnTheDeviceAndValuesAreCopiedOnce) {
  if (on_cpu()) GTEST_SKIP() << "nothing is placed";
  for (const auto& [text, device, copies] : {std::tuple{kDense, 3, 4}, {kMoves, 4, 4}, {kIf, 4, 10}}) {
    const Built built(text, build_target());
    EXPECT_GE(built.commands("cuda."), device) << text << built.describe();
    EXPECT_EQ(built.commands("copy"), copies) << text << built.describe();
  }
}

TEST(Limits, MemoryLimitIsObeyed) {
  const Built built(kLarge, build_target());
  carnot_session_options options{};
  options.memory_limit = size_t{5} << 20;
  Sitting small(built, options), free(built);
  const auto little = inputs_of(kLarge, {{"n", 1}}, 1), much = inputs_of(kLarge, {{"n", 8}}, 1);
  const auto wanted = free.answers(little);
  expect_near(small.answers(little), wanted, "within the limit");
  EXPECT_LE(carnot_session_memory(small.get()), options.memory_limit);
  small.feed(much);
  EXPECT_EQ(small.run(), CARNOT_OUT_OF_MEMORY);
  EXPECT_NE(std::string(carnot_last_error()).find("limit"), std::string::npos) << carnot_last_error();
  expect_near(small.answers(little), wanted, "after the error");
  EXPECT_EQ(free.answers(much)[0].dims, (Dims{2, 8}));
}

// More than the device has: an error, and both the session and the CPU's engine live on.
TEST(Limits, OutOfMemoryIsAnError) {
  if (on_cpu()) GTEST_SKIP() << "the host's memory is not to be filled";
  const Built built(kLarge, build_target()), cpu(kLarge, "cpu");
  const auto little = inputs_of(kLarge, {{"n", 2}}, 1);
  Sitting sitting(built), host(cpu);
  const auto wanted = host.answers(little);
  expect_near(sitting.answers(little), wanted, "before");
  const int64_t n = static_cast<int64_t>(the_device().info()->memory_bytes >> 20) + 1;
  const auto much = inputs_of(kLarge, {{"n", n}}, 1);
  sitting.feed(much);
  EXPECT_EQ(sitting.run(), CARNOT_OUT_OF_MEMORY) << carnot_last_error();
  EXPECT_NE(std::string(carnot_last_error()).find("free"), std::string::npos) << carnot_last_error();
  carnot_tensor t{};
  EXPECT_NE(carnot_session_get_output(sitting.get(), "s", &t), CARNOT_OK) << "there is no result of a failed run";
  expect_near(sitting.answers(little), wanted, "after");
  expect_near(host.answers(little), wanted, "the CPU's, after");
}

// The weights of an engine lie on the device once, whatever number of sessions it has.
TEST(Limits, SessionsShareWeights) {
  if (on_cpu()) GTEST_SKIP() << "the host maps the file";
  constexpr char kHeavy[] = R"(graph main(%x: f32[n,4096]) {
  %w = constant f32[4096,4096] random {1}
  %y = mul %x, %x : f32[n,4096]
  %i = constant i64[1] {5}
  %r = gather(axis=0) %w, %i : f32[1,4096]
  %z = add %y, %r : f32[n,4096]
  return %z "z"
})";
  const Built built(kHeavy, build_target());
  const auto inputs = inputs_of(kHeavy, {{"n", 1}}, 1);
  Sitting first(built);
  const auto wanted = first.answers(inputs);
  const uint64_t before = the_device().info()->free_bytes;
  std::vector<std::unique_ptr<Sitting>> more;
  for (int i = 0; i < 4; ++i) {
    more.push_back(std::make_unique<Sitting>(built));
    expect_near(more.back()->answers(inputs), wanted, "a further session");
    EXPECT_LT(carnot_session_memory(more.back()->get()), size_t{4} << 20);
  }
  EXPECT_LT(before - the_device().info()->free_bytes, uint64_t{48} << 20) << "the weights are 64 MiB";
}

// --check sees the values of commands wherever they lie.
TEST(Check, ComparesTheDevicesCommands) {
  for (const char* text : {kDense, kSizes, kLoop}) {
    auto graph = ir::parse(text);
    ASSERT_TRUE(graph);
    compiler::BuildOptions options;
    options.device = build_target();
    options.check = true;
    int layers = 0;
    options.on_check = [&](const compiler::CheckReport& report) {
      EXPECT_TRUE(report.passed()) << report.str();
      for (const compiler::CheckedValue& v : report.layers) {
        layers += on_cpu() || v.kernel.starts_with("cuda.");
        EXPECT_TRUE(v.passed()) << report.str();
      }
    };
    auto bytes = compiler::compile(std::move(*graph), options);
    EXPECT_TRUE(bytes) << bytes.error().message;
    EXPECT_GT(layers, 0) << text;
  }
}

TEST(Misuse, IsRefusedWithAReason) {
  const Built built(kDense, build_target()), cpu(kDense, "cpu");
  carnot_session* session = nullptr;
  carnot_session_options options{};
  options.struct_size = sizeof(options);
  options.device = on_cpu() ? "cuda:0" : "cuda:77";
  EXPECT_NE(carnot_session_create(built.get(), &options, &session), CARNOT_OK);
  EXPECT_NE(std::string(carnot_last_error()).find("cuda"), std::string::npos) << carnot_last_error();
  options.device = "toaster";
  EXPECT_NE(carnot_session_create(built.get(), &options, &session), CARNOT_OK);
  // An engine of the CPU has nothing to do with memory of a device.
  Sitting sitting(cpu);
  const auto inputs = inputs_of(kDense, {{"n", 1}}, 1);
  const carnot_tensor t{CARNOT_F32, 2, inputs[0].dims.data(), const_cast<void*>(inputs[0].data), inputs[0].bytes()};
  EXPECT_EQ(carnot_session_set_input_in(sitting.get(), "x", &t, CARNOT_MEMORY_DEVICE), CARNOT_INVALID_ARGUMENT);
  EXPECT_NE(std::string(carnot_last_error()).find("--device"), std::string::npos) << carnot_last_error();
  // Wrong shapes are errors, and the next good run is good.
  Sitting subject_session(built);
  const auto good = subject_session.answers(inputs);
  auto bad = inputs;
  bad[1] = inputs_of(kDense, {{"n", 2}}, 1)[1];
  subject_session.feed(bad);
  EXPECT_EQ(subject_session.run(), CARNOT_INVALID_ARGUMENT);
  expect_near(subject_session.answers(inputs), good, "after the error");
}

// The reference refuses an index outside of what it selects from; a kernel finds it while nobody looks, and the wait tells.
TEST(Failure, AnIndexOutsideIsAnErrorOfTheWait) {
  constexpr char text[] = R"(graph main(%x: f32[n,4], %i: i64[2]) {
  %g = gather(axis=0) %x, %i : f32[2,4] @ "look" "Gather"
  %e = exp %g : f32[2,4]
  return %e "e"
})";
  const Built built(text, build_target());
  Sitting sitting(built);
  auto inputs = inputs_of(text, {{"n", 5}}, 1);
  auto* const index = static_cast<int64_t*>(inputs[1].mutable_data());
  const auto wanted = sitting.answers(inputs);
  for (const int64_t bad : {int64_t{5}, int64_t{-6}, int64_t{1} << 40}) {
    const int64_t before = index[1];
    for (int run = 0; run < 3; ++run) {
      index[1] = bad;
      sitting.feed(inputs);
      EXPECT_NE(sitting.run(), CARNOT_OK) << bad;
      const std::string message = carnot_last_error();
      EXPECT_NE(message.find("look"), std::string::npos) << message;
      EXPECT_NE(message.find(std::to_string(bad)), std::string::npos) << message;
      EXPECT_NE(carnot_session_enqueue(sitting.get()) == CARNOT_OK && carnot_session_wait(sitting.get()) == CARNOT_OK, true);
      index[1] = before;
      expect_near(sitting.answers(inputs), wanted, "after the error");
    }
  }
}

// In a process of its own: when work of the device fails, the run says so, every later run on the device does, and engines of the CPU
// are untouched.
TEST(Failure, OfTheDeviceLeavesTheCpuAlive) {
  if (on_cpu()) GTEST_SKIP() << "the host does not fail";
  const auto child = [] {
    const Built built(kDense, build_target()), cpu(kDense, "cpu");
    const auto inputs = inputs_of(kDense, {{"n", 2}}, 1);
    Sitting sitting(built), host(cpu);
    const auto wanted = host.answers(inputs);
    expect_near(sitting.answers(inputs), wanted, "before");
    // A kernel gives up somewhere else in the process.
    const Text failing{"failing", "const float* x, float* y", "(x != y ? 0.f : (__trap(), 0.f))", {}};
    auto kernel = the_device().make_kernel("cuda.launch", launch_params(failing), *code_of(failing));
    auto stream = the_device().make_stream();
    const auto memory = the_device().allocate(400, device::Place::kDevice);
    std::vector<TensorView> in{{DType::kF32, {100}, memory->get()}}, out = in;
    (void)(*kernel)->run({in, out, nullptr, nullptr, stream->get()});
    EXPECT_FALSE((*stream)->wait());
    for (int i = 0; i < 3; ++i) {
      sitting.feed(inputs);
      EXPECT_NE(sitting.run(), CARNOT_OK);
      EXPECT_NE(std::string(carnot_last_error()), "");
      expect_near(host.answers(inputs), wanted, "the CPU's");
    }
    carnot_session* more = nullptr;
    EXPECT_NE(carnot_session_create(built.get(), nullptr, &more), CARNOT_OK);
    exit(testing::Test::HasFailure() ? 1 : 0);
  };
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(child(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace carnot::test
