// SPDX-License-Identifier: Apache-2.0
// A golden file is a list of cases, separated by lines "// ====":
//
//   // RUN: fold-constants,merge-equal
//   graph ...                          the graph before
//   // ----
//   graph ...                          and after; "// ERROR: part of the message" where the passes must refuse
//
// "// PRECISION: fp16,GLOB:TYPE" is what set-precision is asked for. Besides comparing texts, every case is run a second time (which must change nothing), and both graphs are run by the
// interpreter on the same random inputs, symbols bound to small numbers; "// NORUN: reason" leaves that out.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/env.hpp"
#include "ir/interpret.hpp"
#include "ir/text.hpp"
#include "ir/verify.hpp"
#include "passes/manager.hpp"
#include "passes/support_precision.hpp"

namespace carnot {
namespace {

namespace fs = std::filesystem;
bool update = false;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> split(const std::string& text, const std::string& line) {
  std::vector<std::string> out(1);
  std::istringstream in(text);
  for (std::string one; std::getline(in, one);) {
    if (one == line)
      out.emplace_back();
    else
      out.back() += one + "\n";
  }
  return out;
}

std::string after(const std::string& text, const std::string& key) {
  const size_t begin = text.find(key);
  if (begin == std::string::npos) return "";
  const size_t from = begin + key.size();
  return text.substr(from, text.find('\n', from) - from);
}

std::vector<std::string> names(const std::string& list) {
  std::vector<std::string> out;
  std::istringstream in(list);
  for (std::string name; std::getline(in, name, ',');) {
    name.erase(0, name.find_first_not_of(" \r"));
    name.erase(name.find_last_not_of(" \r") + 1);
    out.push_back(name);
  }
  return out;
}

Result<std::vector<Constant>> run(const ir::Graph& graph) {
  CARNOT_ASSIGN(const std::vector<Constant> inputs, ir::random_inputs(graph));
  std::vector<TensorView> views;
  for (const Constant& c : inputs) views.push_back(c.view());
  return ir::interpret(graph, views);
}

// The text of the case with the present result in place of the expected one.
std::string run_case(const std::string& text) {
  const std::vector<std::string> parts = split(text, "// ----");
  const std::string& before = parts[0];
  const std::vector<std::string> passes = names(after(before, "// RUN:"));
  EXPECT_FALSE(passes.empty()) << "a case starts with // RUN: pass,pass";
  auto graph = ir::parse(before);
  if (!graph) {
    ADD_FAILURE() << graph.error().message;
    return text;
  }
  if (Status good = ir::verify(**graph); !good) {
    ADD_FAILURE() << "before: " << good.message();
    return text;
  }
  passes::Phase phase{"golden", {}};
  for (const std::string& name : passes) {
    const passes::PassEntry* pass = passes::find_pass(name);
    if (!pass) {
      ADD_FAILURE() << "there is no pass '" << name << "'";
      return text;
    }
    phase.passes.push_back(pass->name);
  }
  passes::ManagerOptions options;
  options.verify = true;
  std::vector<std::string> words = names(after(before, "// PRECISION:"));
  if (words.empty()) words.push_back("fp32");
  auto precision = passes::parse_precision(words[0], {words.begin() + 1, words.end()});
  if (!precision) {
    ADD_FAILURE() << precision.error().message;
    return text;
  }
  options.context.precision = &*precision;
  auto changed = (*graph)->clone(nullptr);
  auto reports = passes::run_phases(*changed, std::span(&phase, 1), options);
  const std::string wanted_error = parts.size() > 1 ? after(parts[1], "// ERROR: ") : "";
  if (!reports) {
    EXPECT_FALSE(wanted_error.empty()) << reports.error().message;
    EXPECT_NE(reports.error().message.find(wanted_error), std::string::npos) << reports.error().message;
    return text;
  }
  EXPECT_TRUE(wanted_error.empty()) << "the passes should have failed with: " << wanted_error;
  const std::string result = ir::print(*changed, {.elide_above = 512});
  if (!update) {
    EXPECT_EQ(result, parts.size() > 1 ? parts[1] : "");
  }

  const std::string once = ir::print(*changed);
  auto again = passes::run_phases(*changed, std::span(&phase, 1), options);
  if (!again) {
    ADD_FAILURE() << "second run: " << again.error().message;
  } else {
    for (const auto& report : *again) EXPECT_FALSE(report.changed) << report.pass << " is not idempotent";
    EXPECT_EQ(ir::print(*changed), once) << "the second run changed the graph";
  }
  if (before.find("// NORUN:") == std::string::npos) {
    auto x = run(**graph), y = run(*changed);
    EXPECT_TRUE(x) << "before: " << x.error().message;
    EXPECT_TRUE(y) << "after: " << y.error().message;
    if (x && y) {
      EXPECT_EQ(ir::difference(*x, *y), "");
    }
  }
  return before + "// ----\n" + result;
}

class GoldenFile : public testing::Test {
 public:
  explicit GoldenFile(fs::path path) : path_(std::move(path)) {}
  void TestBody() override {
    std::string all;
    for (const std::string& one : split(read(path_), "// ====")) {
      SCOPED_TRACE(path_.string() + ", case with " + after(one, "// RUN:"));
      all += (all.empty() ? "" : "// ====\n") + run_case(one);
    }
    if (update && all != read(path_)) std::ofstream(path_, std::ios::binary) << all;
  }

 private:
  fs::path path_;
};

TEST(EnvDocs, AreUpToDate) {
  const fs::path path = "docs/env.md";
  if (update) std::ofstream(path, std::ios::binary) << env_docs();
  EXPECT_EQ(read(path), env_docs()) << "run: golden_test --update";
}

}  // namespace
}  // namespace carnot

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i)
    if (std::string_view(argv[i]) == "--update") carnot::update = true;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("tests/golden"))
    if (entry.path().extension() == ".ir") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    std::fprintf(stderr, "no .ir files under tests/golden: run this from the root of the sources\n");
    return 1;
  }
  for (const auto& path : files)
    testing::RegisterTest("Golden", path.stem().string().c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [path]() -> testing::Test* { return new carnot::GoldenFile(path); });
  return RUN_ALL_TESTS();
}
