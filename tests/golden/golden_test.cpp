// SPDX-License-Identifier: Apache-2.0
// A golden file is a list of cases, separated by lines "// ====":
//
//   // RUN: fold-constants,merge-equal
//   graph ...                          the graph before
//   // ----
//   graph ...                          and after; "// ERROR: part of the message" where the passes must refuse
//
// Besides comparing texts, every case is run a second time (which must change nothing), and both graphs are run by the
// interpreter on the same random inputs, symbols bound to small numbers; "// NORUN: reason" leaves that out.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "base/env.hpp"
#include "ir/interpret.hpp"
#include "ir/text.hpp"
#include "ir/verify.hpp"
#include "passes/manager.hpp"

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

// Random inputs; every symbol gets a small number of its own.
Result<std::vector<Constant>> inputs_for(const ir::Graph& graph) {
  std::map<std::string, int64_t, std::less<>> symbols;
  std::mt19937 random(7);
  std::vector<Constant> out;
  for (const ir::Value* v : graph.inputs()) {
    Dims dims;
    for (const Dim& d : v->shape()) {
      std::set<std::string> names;
      d.collect_symbols(names);
      for (const std::string& s : names) symbols.emplace(s, 2 + static_cast<int64_t>(symbols.size()));
      CARNOT_ASSIGN(const int64_t n, d.eval(symbols));
      dims.push_back(n);
    }
    Constant c = Constant::allocate(v->dtype(), dims);
    dispatch_dtype(v->dtype(), [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t i = 0; i < c.size(); ++i) {
        T& x = static_cast<T*>(c.mutable_data())[i];
        if constexpr (std::is_same_v<T, bool> || std::is_integral_v<T>)
          x = static_cast<T>(random() % 2);
        else
          x = T(static_cast<float>(random() % 20001) / 10000.0f - 1.0f);
      }
    });
    out.push_back(std::move(c));
  }
  return out;
}

Result<std::vector<Constant>> run(const ir::Graph& graph) {
  CARNOT_ASSIGN(const std::vector<Constant> inputs, inputs_for(graph));
  std::vector<TensorView> views;
  for (const Constant& c : inputs) views.push_back(c.view());
  return ir::interpret(graph, views);
}

void expect_close(const std::vector<Constant>& a, const std::vector<Constant>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].dtype, b[i].dtype);
    ASSERT_EQ(a[i].dims, b[i].dims) << "output " << i;
    auto x = to_doubles(a[i].view()), y = to_doubles(b[i].view());
    ASSERT_TRUE(x && y);
    double range = 1;
    for (double d : *x)
      if (std::isfinite(d)) range = std::max(range, std::abs(d));
    const double tolerance = a[i].dtype == DType::kF32 || a[i].dtype == DType::kF64 ? 1e-5 : is_float(a[i].dtype) ? 1e-2 : 0;
    for (size_t k = 0; k < x->size(); ++k) {
      const double p = (*x)[k], q = (*y)[k];
      if (p == q || (std::isnan(p) && std::isnan(q))) continue;
      ASSERT_LE(std::abs(p - q), tolerance * range) << "output " << i << " element " << k << ": " << p << " became " << q;
    }
  }
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
    if (x && y) expect_close(*x, *y);
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
