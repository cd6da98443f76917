// SPDX-License-Identifier: Apache-2.0
// carnot::Server inside a program, without ports.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "carnot/network.hpp"
#include "carnot/server.hpp"

namespace {

class EmbeddedServer : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / ("carnot_embedded_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_ / "double" / "1");
    carnot::Network net;
    const carnot::Value x = net.input("x", CARNOT_F32, {"batch", 4});
    net.output(net.sum(x, x), "y");
    net.build_to_file((folder_ / "double" / "1" / "model.engine").string());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(EmbeddedServer, AnswersFromManyThreads) {
  carnot::Server server({.repository = folder_.string(), .control = "explicit", .load = {"*"}, .log_level = 0});
  server.start();
  ASSERT_TRUE(server.ready());
  EXPECT_EQ(server.http_port(), -1);
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const std::vector<float> x(8, static_cast<float>(t * 1000 + i));
        const auto answer =
            server.infer({.model = "double", .inputs = {{"x", carnot::tensor(x.data(), {2, 4})}}}).get();
        const auto* y = reinterpret_cast<const float*>(answer.outputs.at(0).data.data());
        right += answer.version == 1 && answer.outputs[0].dims == std::vector<int64_t>{2, 4} && y[7] == 2 * x[7];
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(right, 800);
  EXPECT_NE(server.statistics_json().find("\"inference_count\":1600"), std::string::npos) << server.statistics_json();
  EXPECT_TRUE(server.stop(std::chrono::seconds(5)));
  EXPECT_FALSE(server.ready());
  EXPECT_THROW(server.infer({.model = "double"}), carnot::Exception);
}

TEST_F(EmbeddedServer, TellsWithoutAWait) {
  carnot::Server server({.repository = folder_.string(), .control = "explicit", .log_level = 0});
  server.start();
  ASSERT_EQ(server.models().size(), 1u);
  EXPECT_EQ(server.models()[0].version, -1);
  server.load("double");
  ASSERT_EQ(server.models().size(), 1u);
  EXPECT_EQ(server.models()[0].version, 1);
  EXPECT_EQ(server.models()[0].state, "READY");
  const std::vector<float> x = {1, 2, 3, 4};
  std::promise<float> answer;
  server.infer({.model = "double", .inputs = {{"x", carnot::tensor(x.data(), {1, 4})}}},
               [&](carnot::InferAnswer got, std::exception_ptr failure) {
                 answer.set_value(failure ? -1 : reinterpret_cast<const float*>(got.outputs.at(0).data.data())[3]);
               });
  EXPECT_EQ(answer.get_future().get(), 8);
  std::promise<std::string> problem;
  server.infer({.model = "none"}, [&](carnot::InferAnswer, std::exception_ptr failure) {
    try {
      std::rethrow_exception(failure);
    } catch (const carnot::Exception& e) {
      problem.set_value(e.what());
    }
  });
  EXPECT_NE(problem.get_future().get().find("unknown model"), std::string::npos);
}

TEST_F(EmbeddedServer, MistakesAreExceptions) {
  carnot::Server server({.repository = folder_.string(), .control = "explicit", .log_level = 0});
  server.start();
  const std::vector<float> x(4);
  const carnot::InferCall call{.model = "double", .inputs = {{"x", carnot::tensor(x.data(), {4})}}};
  EXPECT_THROW(server.infer(call).get(), carnot::Exception);  // not loaded
  server.load("double");
  EXPECT_THROW(server.infer(call).get(), carnot::Exception);  // no batch dim
  EXPECT_THROW(server.load("nothing"), carnot::Exception);
  server.unload("double");
  EXPECT_THROW(server.infer(call).get(), carnot::Exception);
  EXPECT_THROW(carnot::Server({.repository = folder_.string(), .control = "sometimes"}), carnot::Exception);
}

}  // namespace
