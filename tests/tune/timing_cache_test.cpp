// SPDX-License-Identifier: Apache-2.0
#include "compiler/timing_cache.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace carnot::compiler {
namespace {

class TimingCacheFile : public testing::Test {
 protected:
  TimingCacheFile() : path_((std::filesystem::temp_directory_path() / fmt::format("carnot-times-{}", ::getpid())).string()) {}
  ~TimingCacheFile() override { std::filesystem::remove(path_); }
  TimingCache loaded(const std::string& machine) {
    auto cache = TimingCache::load(path_, machine);
    EXPECT_TRUE(cache) << cache.error().message;
    return std::move(*cache);
  }
  std::string path_;
};

TEST_F(TimingCacheFile, RoundTrip) {
  TimingCache cache = loaded("m1");
  cache.put("conv f32[1]", {{"a@1", 120}, {"b@2 x=[1, 2]", 99}});
  cache.put("two\nlines", {{"a\n@1", 5}});
  ASSERT_TRUE(cache.save(path_));
  const TimingCache again = loaded("m1");
  EXPECT_EQ(again.str(), cache.str());
  ASSERT_NE(again.find("conv f32[1]"), nullptr);
  EXPECT_EQ(again.find("conv f32[1]")->at("b@2 x=[1, 2]"), 99);
  ASSERT_NE(again.find("two\nlines"), nullptr);
  EXPECT_EQ(again.find("matmul"), nullptr);
  EXPECT_EQ(loaded("m2").find("conv f32[1]"), nullptr);
  EXPECT_EQ(loaded("m2").other_machines(), 1u);
}

TEST_F(TimingCacheFile, SavesMerge) {
  TimingCache first = loaded("m1"), second = loaded("m1"), other = loaded("m2");
  first.put("p", {{"a", 1}});
  second.put("q", {{"a", 2}});
  second.put("p", {{"a", 3}});
  other.put("p", {{"a", 4}});
  ASSERT_TRUE(first.save(path_) && second.save(path_) && other.save(path_));
  const TimingCache all = loaded("m1");
  EXPECT_EQ(all.problems(), 2u);
  EXPECT_EQ(all.find("p")->at("a"), 3);  // the last one to time it
  EXPECT_EQ(all.find("q")->at("a"), 2);
  EXPECT_EQ(loaded("m2").find("p")->at("a"), 4);
}

TEST_F(TimingCacheFile, SizeIsBounded) {
  const std::string filler(20000, 'x');
  TimingCache old = loaded("old");
  for (int i = 0; i < 500; ++i) old.put(fmt::format("{} {}", i, filler), {{"a", 1}});
  ASSERT_TRUE(old.save(path_));
  TimingCache cache = loaded("new");
  for (int i = 0; i < 1000; ++i) cache.put(fmt::format("{} {}", i, filler), {{"a", 1}});
  ASSERT_TRUE(cache.save(path_));
  EXPECT_LE(std::filesystem::file_size(path_), TimingCache::kMaxBytes);
  EXPECT_GT(std::filesystem::file_size(path_), TimingCache::kMaxBytes / 2);
  const TimingCache again = loaded("new");
  EXPECT_EQ(again.other_machines(), 0u);                             // the oldest went first
  EXPECT_EQ(again.find(fmt::format("0 {}", filler)), nullptr);       // then the oldest problems
  EXPECT_NE(again.find(fmt::format("999 {}", filler)), nullptr);
}

TEST_F(TimingCacheFile, HostileTextsAreErrorsThatNameTheLine) {
  const std::string head = "carnot timing cache 1\n";
  const std::pair<std::string, const char*> cases[] = {
      {"", "not a timing cache"},
      {"ELF", "not a timing cache"},
      {"carnot timing cache 2\n", "format 2"},
      {"carnot timing cache 1", "ends within a line"},
      {head + "problem p\n", "line 2: a problem without a machine"},
      {head + "machine m\ntime 5 a\n", "line 3: a time without a problem"},
      {head + "machine m\nproblem \n", "line 3: a problem without a text"},
      {head + "machine m\nproblem p\ntime x a\n", "line 4: no time"},
      {head + "machine m\nproblem p\ntime -5 a\n", "line 4: no time"},
      {head + "machine m\nproblem p\ntime 0 a\n", "line 4: no time"},
      {head + "machine m\nproblem p\ntime 99999999999999999999 a\n", "line 4: no time"},
      {head + "machine m\nproblem p\ntime 5\n", "line 4: no time"},
      {head + "machine m\nproblem p\ntime 5 \n", "line 4: no time"},
      {head + "machine m\nproblem p\ntime 5 a\ntime 6 a\n", "line 5: a candidate has two times"},
      {head + "machine m\nproblem p\ntime 5 a", "line 4: the file ends within a line"},
      {head + "machine m\n\n", "line 3: an empty line"},
      {head + std::string("machine m\0x\n", 12), "line 2: an empty line or control characters"},
      {head + "machine " + std::string(TimingCache::kMaxLine, 'x') + "\n", "line 2: too long"},
      {head + "what is this\n", "line 2: neither"},
  };
  for (const auto& [text, message] : cases) {
    const auto cache = TimingCache::parse(text, "m");
    ASSERT_FALSE(cache) << message;
    EXPECT_NE(cache.error().message.find(message), std::string::npos) << cache.error().message;
  }
  std::string many = head;
  for (size_t i = 0; i < 2 * TimingCache::kMaxMachines; ++i) many += fmt::format("machine {}\n", i);
  EXPECT_FALSE(TimingCache::parse(many, "m"));
}

TEST_F(TimingCacheFile, DamagedFilesAreNotOverwritten) {
  std::ofstream(path_) << "carnot timing cache 1\nmachine m\nproblem p\ntime 5 a\ntrunca";
  const auto damaged = TimingCache::load(path_, "m");
  ASSERT_FALSE(damaged);
  EXPECT_NE(damaged.error().message.find(path_), std::string::npos);
  EXPECT_NE(damaged.error().message.find("delete the file"), std::string::npos);
  TimingCache cache("m");
  cache.put("q", {{"a", 1}});
  EXPECT_FALSE(cache.save(path_));
  EXPECT_GT(std::filesystem::file_size(path_), 50u);
  EXPECT_FALSE(TimingCache::load(std::filesystem::temp_directory_path().string(), "m"));
}

}  // namespace
}  // namespace carnot::compiler
