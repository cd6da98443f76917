// SPDX-License-Identifier: Apache-2.0
// The contract of device/device.hpp: memory, queues, events, recordings, kernels, and what happens when something fails.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <thread>

#include "subject.hpp"

namespace carnot::test {
namespace {

using device::Place;

#define ASSERT_GOOD(expression)                      \
  do {                                               \
    const auto& good_ = (expression);                \
    ASSERT_TRUE(good_) << good_.error().message;     \
  } while (0)

class Contract : public testing::Test {
 protected:
  void SetUp() override {
    if (on_cpu()) GTEST_SKIP() << "the host has no memory and queues of its own";
    stream = take(the_device().make_stream());
  }
  template <typename T>
  T take(Result<T> result) {
    EXPECT_TRUE(result) << result.error().message;
    if (!result) abort();
    return std::move(*result);
  }
  device::Memory pinned(size_t bytes) { return take(the_device().allocate(bytes, Place::kPinned)); }
  device::Memory memory(size_t bytes) { return take(the_device().allocate(bytes, Place::kDevice)); }
  static float* floats(const device::Memory& m) { return static_cast<float*>(m.get()); }

  std::unique_ptr<device::Stream> stream;
};

const Text kScale{"scale", "const float* x, float* y, const long long times", "x[i] * (float)times", {"i0d0"}};

TEST_F(Contract, DeviceTellsWhatItIs) {
  const auto info = take(the_device().info());
  EXPECT_FALSE(info.name.empty());
  EXPECT_FALSE(info.versions.empty());
  EXPECT_TRUE(info.architecture.starts_with("sm_")) << info.architecture;
  EXPECT_GT(info.memory_bytes, uint64_t{256} << 20);
  EXPECT_LE(info.free_bytes, info.memory_bytes);
  EXPECT_GT(info.multiprocessors, 0);
}

TEST_F(Contract, MemoryIsAligned) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{100}, size_t{4097}, size_t{3} << 20})
    for (const Place place : {Place::kDevice, Place::kPinned}) {
      const auto m = take(the_device().allocate(bytes, place));
      ASSERT_NE(m.get(), nullptr);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(m.get()) % 256, 0u);
    }
}

TEST_F(Contract, MemoryGoesBack) {
  const uint64_t before = take(the_device().info()).free_bytes;
  {
    const auto m = memory(size_t{64} << 20);
    EXPECT_LE(take(the_device().info()).free_bytes, before - (uint64_t{64} << 20));
  }
  EXPECT_GE(take(the_device().info()).free_bytes + (uint64_t{8} << 20), before);
}

TEST_F(Contract, TooMuchMemoryIsAnError) {
  const auto info = take(the_device().info());
  const auto m = the_device().allocate(info.memory_bytes * 2, Place::kDevice);
  ASSERT_FALSE(m);
  EXPECT_EQ(m.error().code, Code::kOutOfMemory);
  EXPECT_NE(m.error().message.find("free"), std::string::npos) << m.error().message;
  EXPECT_TRUE(the_device().allocate(1 << 20, Place::kDevice));
}

TEST_F(Contract, CopiesGoEveryWay) {
  const size_t n = 100003;
  const auto from = pinned(n * 4), back = pinned(n * 4), a = memory(n * 4), b = memory(n * 4);
  std::iota(floats(from), floats(from) + n, 0.5f);
  std::memset(back.get(), 0, n * 4);
  ASSERT_GOOD(stream->copy(a.get(), from.get(), n * 4));
  ASSERT_GOOD(stream->copy(b.get(), a.get(), n * 4));
  ASSERT_GOOD(stream->copy(back.get(), b.get(), n * 4));
  ASSERT_GOOD(stream->wait());
  EXPECT_EQ(std::memcmp(from.get(), back.get(), n * 4), 0);
}

TEST_F(Contract, PlainMemoryOfTheHostIsCopied) {
  std::vector<float> from(3000000), back(from.size(), -1);
  std::iota(from.begin(), from.end(), 1.0f);
  const auto a = memory(from.size() * 4);
  ASSERT_GOOD(stream->copy(a.get(), from.data(), from.size() * 4));
  ASSERT_GOOD(stream->copy(back.data(), a.get(), from.size() * 4));
  ASSERT_GOOD(stream->wait());
  EXPECT_EQ(from, back);
}

TEST_F(Contract, PartsOfMemoryAreFilledAndCopied) {
  const auto a = memory(1024), back = pinned(1024);
  ASSERT_GOOD(stream->fill(a.get(), 7, 1024));
  ASSERT_GOOD(stream->fill(static_cast<char*>(a.get()) + 100, 9, 24));
  ASSERT_GOOD(stream->fill(a.get(), 1, 0));
  ASSERT_GOOD(stream->copy(back.get(), a.get(), 1024));
  ASSERT_GOOD(stream->wait());
  const char* p = static_cast<const char*>(back.get());
  for (int i = 0; i < 1024; ++i) ASSERT_EQ(p[i], i >= 100 && i < 124 ? 9 : 7) << i;
}

TEST_F(Contract, EventsOrderStreams) {
  auto other = take(the_device().make_stream());
  auto event = take(the_device().make_event());
  const size_t bytes = 8 << 20;
  const auto a = memory(bytes), back = pinned(bytes);
  for (int round = 1; round < 6; ++round) {
    ASSERT_GOOD(stream->fill(a.get(), round, bytes));
    ASSERT_GOOD(event->record(*stream));
    ASSERT_GOOD(event->wait_on(*other));
    ASSERT_GOOD(other->copy(back.get(), a.get(), bytes));
    ASSERT_GOOD(other->wait());
    EXPECT_EQ(static_cast<const char*>(back.get())[0], round);
    EXPECT_EQ(static_cast<const char*>(back.get())[bytes - 1], round);
  }
}

TEST_F(Contract, EventsMeasure) {
  auto begin = take(the_device().make_event()), end = take(the_device().make_event());
  const auto a = memory(64 << 20);
  ASSERT_GOOD(begin->record(*stream));
  for (int i = 0; i < 4; ++i) ASSERT_GOOD(stream->fill(a.get(), i, 64 << 20));
  ASSERT_GOOD(end->record(*stream));
  ASSERT_GOOD(end->wait());
  EXPECT_GT(take(end->milliseconds_since(*begin)), 0.0);
}

TEST_F(Contract, RecordingsReplay) {
  auto kernel = take(the_device().make_kernel("cuda.launch", launch_params(kScale), take(code_of(kScale))));
  const int64_t n = 1000;
  const auto from = pinned(4000), back = pinned(4000), a = memory(4000), b = memory(4000);
  std::memset(back.get(), 0, 4000);
  std::vector<TensorView> in{{DType::kF32, {n}, a.get()}}, out{{DType::kF32, {n}, b.get()}};
  ASSERT_GOOD(kernel->run({in, out, nullptr, nullptr, stream.get()}));  // loaded before it is recorded
  ASSERT_GOOD(stream->wait());
  ASSERT_GOOD(stream->begin_recording());
  ASSERT_GOOD(stream->copy(a.get(), from.get(), 4000));
  ASSERT_GOOD(kernel->run({in, out, nullptr, nullptr, stream.get()}));
  ASSERT_GOOD(stream->copy(back.get(), b.get(), 4000));
  const auto recording = take(stream->end_recording());
  ASSERT_GOOD(stream->wait());
  EXPECT_EQ(floats(back)[999], 0) << "recording runs nothing";
  for (int round = 1; round < 4; ++round) {
    for (int i = 0; i < 1000; ++i) floats(from)[i] = static_cast<float>(i * round);
    ASSERT_GOOD(stream->replay(*recording));
    ASSERT_GOOD(stream->wait());
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(floats(back)[i], static_cast<float>(i * round) * 1000);
  }
}

TEST_F(Contract, WhatCannotBeRecordedIsAnErrorOfTheEnd) {
  ASSERT_GOOD(stream->begin_recording());
  EXPECT_FALSE(stream->wait());
  EXPECT_FALSE(stream->end_recording());
  // And the stream lives on.
  const auto a = memory(64), back = pinned(64);
  ASSERT_GOOD(stream->fill(a.get(), 3, 64));
  ASSERT_GOOD(stream->copy(back.get(), a.get(), 64));
  ASSERT_GOOD(stream->wait());
  EXPECT_EQ(static_cast<const char*>(back.get())[63], 3);
}

TEST_F(Contract, StreamsOfTheCallerAreNotDestroyed) {
  const auto a = memory(64), back = pinned(64);
  {
    auto wrapped = take(the_device().wrap_stream(stream->native()));
    EXPECT_EQ(wrapped->native(), stream->native());
    ASSERT_GOOD(stream->fill(a.get(), 1, 64));
    ASSERT_GOOD(wrapped->fill(a.get(), 2, 64));
  }
  ASSERT_GOOD(stream->copy(back.get(), a.get(), 64));
  ASSERT_GOOD(stream->wait());
  EXPECT_EQ(static_cast<const char*>(back.get())[0], 2);
}

TEST_F(Contract, KernelsRun) {
  auto kernel = take(the_device().make_kernel("cuda.launch", launch_params(kScale), take(code_of(kScale))));
  ASSERT_GOOD(kernel->check_operands(1, 1));
  EXPECT_FALSE(kernel->check_operands(2, 1));
  const auto x = pinned(4000), a = memory(4000), b = memory(4000);
  std::iota(floats(x), floats(x) + 1000, 1.0f);
  ASSERT_GOOD(stream->copy(a.get(), x.get(), 4000));
  for (const int64_t n : {int64_t{1000}, int64_t{65}, int64_t{0}}) {
    std::vector<TensorView> in{{DType::kF32, {n}, a.get()}}, out{{DType::kF32, {n}, b.get()}};
    EXPECT_EQ(kernel->workspace(in, out, 1), 0u);
    ASSERT_GOOD(kernel->run({in, out, nullptr, nullptr, stream.get()}));
  }
  const auto back = pinned(4000);
  ASSERT_GOOD(stream->copy(back.get(), b.get(), 4000));
  ASSERT_GOOD(stream->wait());
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(floats(back)[i], static_cast<float>(i + 1) * (i < 65 ? 65 : 1000)) << i;
}

TEST_F(Contract, KernelsAreRefusedWithAReason) {
  const auto code = take(code_of(kScale));
  const auto refused = [&](std::string_view id, const Attrs& params, std::span<const std::byte> bytes, Code wanted) {
    const auto kernel = the_device().make_kernel(id, params, bytes);
    ASSERT_FALSE(kernel);
    EXPECT_EQ(kernel.error().code, wanted) << kernel.error().message;
    EXPECT_FALSE(kernel.error().message.empty());
  };
  const auto changed = [&](std::string_view name, Attr value) {
    Attrs params = launch_params(kScale);
    for (auto& [key, old] : params)
      if (key == name) old = value;
    return params;
  };
  refused("cuda.no_such_kernel", {}, {}, Code::kNotFound);
  refused("cuda.launch", {}, code, Code::kDataCorrupt);
  refused("cuda.launch", launch_params(kScale), {}, Code::kDataCorrupt);
  refused("cuda.launch", changed("block", std::vector<int64_t>{2000, 1, 1}), code, Code::kDataCorrupt);
  refused("cuda.launch", changed("block", std::vector<int64_t>{64, 0, 1}), code, Code::kDataCorrupt);
  refused("cuda.launch", changed("grid", std::vector<std::string>{"1"}), code, Code::kDataCorrupt);
  EXPECT_FALSE(the_device().make_kernel("cuda.launch", changed("grid", std::vector<std::string>{"((", "1", "1"}), code));
  EXPECT_FALSE(the_device().make_kernel("cuda.launch", changed("entry", std::string("absent")), code));
  const std::vector<std::byte> noise(200, std::byte{0x5a});
  EXPECT_FALSE(the_device().make_kernel("cuda.launch", launch_params(kScale), noise));
  // And one that asks for what its operands do not have.
  auto kernel = take(the_device().make_kernel("cuda.launch", changed("grid", std::vector<std::string>{"i7d3", "1", "1"}), code));
  const auto a = memory(64);
  std::vector<TensorView> view{{DType::kF32, {16}, a.get()}};
  std::vector<TensorView> out = view;
  EXPECT_FALSE(kernel->run({view, out, nullptr, nullptr, stream.get()}));
  kernel = take(the_device().make_kernel("cuda.launch", changed("grid", std::vector<std::string>{"1", "100000", "1"}), code));
  EXPECT_FALSE(kernel->run({view, out, nullptr, nullptr, stream.get()}));
  ASSERT_GOOD(stream->wait());
}

TEST_F(Contract, StreamsWorkSideBySide) {
  const auto code = take(code_of(kScale));
  auto kernel = take(the_device().make_kernel("cuda.launch", launch_params(kScale), code));
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      auto own = the_device().make_stream();
      const int64_t n = 500 + t;
      const auto bytes = static_cast<size_t>(n) * 4;
      auto x = the_device().allocate(bytes, Place::kPinned), a = the_device().allocate(bytes, Place::kDevice);
      if (!own || !x || !a) return void(wrong = 1000);
      auto* f = static_cast<float*>(x->get());
      for (int round = 0; round < 20; ++round) {
        for (int64_t i = 0; i < n; ++i) f[i] = static_cast<float>(i + round);
        std::vector<TensorView> view{{DType::kF32, {n}, a->get()}};
        const bool good = (*own)->copy(a->get(), f, bytes) && kernel->run({view, view, nullptr, nullptr, own->get()}) && (*own)->copy(f, a->get(), bytes) && (*own)->wait();
        for (int64_t i = 0; i < n; ++i) wrong += !good || f[i] != static_cast<float>(i + round) * static_cast<float>(n);
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

// In a process of its own: what a kernel that gives up leaves behind is errors, for good, and a host that lives.
TEST_F(Contract, KernelThatFailsIsAnErrorOfTheWait) {
  const auto child = [&] {
    const Text failing{"failing", "const float* x, float* y", "(x[0] == 0 ? (__trap(), 0.f) : 1.f)", {}};
    auto kernel = take(the_device().make_kernel("cuda.launch", launch_params(failing), take(code_of(failing))));
    const auto a = memory(400);
    (void)stream->fill(a.get(), 0, 400);
    std::vector<TensorView> in{{DType::kF32, {100}, a.get()}}, out = in;
    const Status enqueued = kernel->run({in, out, nullptr, nullptr, stream.get()});
    const Status waited = stream->wait();
    const bool told = enqueued && !waited && !waited.error().message.empty();
    if (!told) fprintf(stderr, "not told\n");
    const bool for_good = !stream->fill(a.get(), 0, 400) && !the_device().allocate(100, Place::kDevice);
    if (!for_good) fprintf(stderr, "not for good\n");
    stream.reset();
    exit(told && for_good ? 0 : 1);
  };
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_EXIT(child(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace carnot::test
