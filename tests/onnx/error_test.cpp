// SPDX-License-Identifier: Apache-2.0
// What a bad model gets: an error that names the node and says what is wrong. And that no bytes at all make the importer crash.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>

#include "importers/onnx/import.hpp"
#include "ir/verify.hpp"
#include "model_maker.hpp"

namespace carnot::onnx_test {
namespace {

std::string error_of(const std::string& bytes, const onnx::ImportOptions& options = {}) {
  auto graph = onnx::import_onnx_bytes(std::as_bytes(std::span(bytes)), options);
  return graph ? "no error" : graph.error().message;
}
void expect_error(const std::string& bytes, std::initializer_list<std::string_view> parts) {
  const std::string error = error_of(bytes);
  for (const std::string_view part : parts) EXPECT_NE(error.find(part), std::string::npos) << "'" << part << "' is not in: " << error;
}
Graph simple() { return Graph().input("x", 1, {"2"}); }
std::string weight(std::string_view raw_bytes, std::vector<int64_t> dims = {2}, int type = 1) {
  return model(simple().initializer(tensor("w", type, std::move(dims), raw_bytes)).node("Add", {"x", "w"}, {"y"}, {}, "sum").output("y"));
}

TEST(Errors, FilesThatAreNoModels) {
  expect_error("", {"model: the file is empty"});
  expect_error("hello, this is text", {"not an ONNX model"});
  expect_error("version https://git-lfs.github.com/spec/v1\noid sha256:0", {"git lfs pull"});
  expect_error(model(Graph(), {.ir = 0}), {"no IR version"});
  expect_error(model(simple(), {.ir = 1'000'000'000}), {"IR version 1000000000 is newer"});
  expect_error(model(simple(), {.opsets = {}}), {"imports no opset"});
  expect_error(model(simple(), {.opsets = {{"", 99}}}), {"opset 99 is newer than 28"});
  expect_error(model(simple()), {"no outputs"});
  auto missing = onnx::import_onnx_file("no/such/file.onnx");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("no/such/file.onnx"), std::string::npos);
}

TEST(Errors, UnknownOperators) {
  expect_error(model(simple().node("Relo", {"x"}, {"y"}, {}, "act").output("y")),
               {"node 'act' (Relo)", "operator 'Relo' of domain 'ai.onnx' (opset 17) is not known", "did you mean 'Relu'"});
  expect_error(model(simple().node("Magic", {"x"}, {"y"}, {}, "", "my.ops").output("y"), {.opsets = {{"", 17}, {"my.ops", 3}}}),
               {"'Magic_0' (my.ops.Magic)", "domain 'my.ops' (opset 3)"});
  expect_error(model(simple().node("Magic", {"x"}, {"y"}, {}, "", "my.ops").output("y")), {"imports no opset of domain 'my.ops'"});
  expect_error(model(simple().node("Gelu", {"x"}, {"y"}).output("y")), {"'Gelu'", "not supported at opset 17 (from opset 20)"});
}

TEST(Errors, OperandsAndAttributes) {
  expect_error(model(simple().node("Add", {"x"}, {"y"}, {}, "sum").output("y")), {"node 'sum' (Add)", "input 1"});
  expect_error(model(simple().node("Relu", {"x", "x"}, {"y"}, {}, "r").output("y")), {"node 'r' (Relu)", "at most 1 inputs"});
  expect_error(model(simple().node("Relu", {"x"}, {"y", "z"}, {}, "r").output("y")), {"node 'r' (Relu)", "outputs"});
  expect_error(model(simple().node("LeakyRelu", {"x"}, {"y"}, {attr_string("alpha", "a")}, "r").output("y")), {"node 'r'", "attribute 'alpha' has the wrong type"});
  expect_error(model(simple().node("LeakyRelu", {"x"}, {"y"}, {attr_int("beta", 1)}, "r").output("y")), {"node 'r'", "no attribute 'beta'"});
  expect_error(model(simple().node("Constant", {}, {"y"}, {}, "c").output("y")), {"node 'c' (Constant)", "none of the attributes"});
  expect_error(model(simple().node("Cast", {"x"}, {"y"}, {attr_int("to", 17)}, "c").output("y")), {"node 'c' (Cast)", "float8e4m3fn"});
}

TEST(Errors, Names) {
  expect_error(model(simple().node("Relu", {"z"}, {"y"}, {}, "r").output("y")), {"node 'r' (Relu)", "input 0", "'z' is defined nowhere"});
  expect_error(model(simple().node("Relu", {"x"}, {"y"}).output("z")), {"output of the graph", "'z' is defined nowhere"});
  expect_error(model(simple().node("Relu", {"x"}, {"y"}).node("Abs", {"x"}, {"y"}, {}, "again").output("y")), {"node 'again' (Abs)", "'y' is defined twice"});
  expect_error(model(simple().node("Relu", {"b"}, {"a"}, {}, "first").node("Abs", {"x"}, {"b"}, {}, "second").output("a")),
               {"node 'first'", "'b' is computed by 'second' (Abs)", "not sorted"});
  expect_error(model(simple().node("Add", {"x", "a"}, {"a"}, {}, "self").output("a")), {"node 'self'", "cycle"});
  expect_error(model(simple().node("Relu", {"x"}, {"y"}).output("y").output("y")), {"listed twice"});
  expect_error(model(Graph().input("x", 1, {"2"}).input("x", 1, {"2"}).node("Relu", {"x"}, {"y"}).output("y")), {"'x' is defined twice"});
}

TEST(Errors, TypesAndShapes) {
  expect_error(model(Graph().input("x", 8, {"2"}).node("Relu", {"x"}, {"y"}).output("y")), {"input 'x'", "string"});
  expect_error(model(Graph().input("x", 99, {"2"}).node("Relu", {"x"}, {"y"}).output("y")), {"input 'x'", "unknown element type 99"});
  expect_error(model(Graph().input("x", 1, {"-7"}).node("Relu", {"x"}, {"y"}).output("y")), {"input 'x': axis 0 is -7"});
  expect_error(model(Graph().input("x", 1, {"2"}).input("w", 1, {"3"}).node("Add", {"x", "w"}, {"y"}, {}, "sum").output("y")),
               {"node 'sum' (Add)", "[2]", "[3]"});
  expect_error(model(Graph().input("x", 1, {"4611686018427387904", "4"}).node("Relu", {"x"}, {"y"}).output("y")), {"input 'x'"});
}

TEST(Errors, TensorsThatContradictThemselves) {
  expect_error(weight(raw<float>({1})), {"node 'sum' (Add)", "tensor 'w'", "needs 8 bytes, there are 4"});
  expect_error(weight(raw<float>({1, 2, 3})), {"there are 12"});
  expect_error(weight("", {-1}), {"tensor 'w'"});
  expect_error(weight("", {int64_t{1} << 62, 8}), {"tensor 'w'"});
  expect_error(weight("abcdefgh", {2}, 0), {"undefined"});
  expect_error(weight("abcdefgh", {2}, 14), {"complex64"});
}

class External : public testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::temp_directory_path() / ("carnot_onnx_" + std::to_string(std::random_device()()));
    std::filesystem::create_directories(root_ / "model");
    std::ofstream(root_ / "model" / "w.bin", std::ios::binary) << raw<float>({0, 0, 1, 2});
    std::ofstream(root_ / "secret.bin", std::ios::binary) << raw<float>({7, 7});
    std::filesystem::create_symlink("../secret.bin", root_ / "model" / "link.bin");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  std::string import(std::vector<std::pair<std::string, std::string>> entries, const std::string& allowed = "") {
    const std::string bytes = model(simple().initializer(external_tensor("w", 1, {2}, std::move(entries))).node("Add", {"x", "w"}, {"y"}).output("y"));
    std::ofstream(root_ / "model" / "m.onnx", std::ios::binary) << bytes;
    auto graph = onnx::import_onnx_file((root_ / "model" / "m.onnx").string(), {.external_root = allowed});
    if (!graph) return graph.error().message;
    const auto& c = (*graph)->find("w")->constant;
    return fmt::format("{} {}", c->as<float>()[0], c->as<float>()[1]);
  }
  void expect(const std::string& got, std::string_view part) { EXPECT_NE(got.find(part), std::string::npos) << got; }
  std::filesystem::path root_;
};

TEST_F(External, DataIsReadWhereItLies) {
  EXPECT_EQ(import({{"location", "w.bin"}, {"offset", "8"}, {"length", "8"}}), "1 2");
  EXPECT_EQ(import({{"location", "w.bin"}}), "0 0");
}
TEST_F(External, BadDataIsRefused) {
  expect(import({{"location", "none.bin"}}), "external data 'none.bin' is missing");
  expect(import({{"location", "w.bin"}, {"offset", "12"}}), "has 16 bytes");
  expect(import({{"location", "w.bin"}, {"offset", "18446744073709551608"}}), "has 16 bytes");
  expect(import({{"location", "w.bin"}, {"offset", "-1"}}), "offset '-1' is no size");
  expect(import({{"location", "w.bin"}, {"length", "4"}}), "needs 8 bytes, length says 4");
  expect(import({{"offset", "0"}}), "no location");
  expect(import({{"location", "."}}), "m.onnx");
}
TEST_F(External, OnlyTheModelsFolderIsOpen) {
  expect(import({{"location", "../secret.bin"}}), "outside the model's folder");
  expect(import({{"location", "link.bin"}}), "outside the model's folder");
  expect(import({{"location", (root_ / "secret.bin").string()}}), "absolute path");
  EXPECT_EQ(import({{"location", "link.bin"}}, root_.string()), "7 7");
}

TEST(Errors, FunctionsThatCallThemselves) {
  const auto options = [](std::vector<std::string> functions) { return ModelOptions{.opsets = {{"", 17}, {"my", 1}}, .functions = std::move(functions)}; };
  const Graph graph = simple().node("A", {"x"}, {"y"}, {}, "a", "my").output("y");
  expect_error(model(graph, options({function("my", "A", {"p"}, {"q"}, {node("A", {"p"}, {"q"}, {}, "", "my")})})), {"'A' calls itself"});
  expect_error(model(graph, options({function("my", "A", {"p"}, {"q"}, {node("B", {"p"}, {"q"}, {}, "", "my")}),
                                     function("my", "B", {"p"}, {"q"}, {node("A", {"p"}, {"q"}, {}, "", "my")})})),
               {"calls itself"});
  expect_error(model(simple().node("A", {"x", "x"}, {"y"}, {}, "a", "my").output("y"), options({function("my", "A", {"p"}, {"q"}, {node("Relu", {"p"}, {"q"})})})),
               {"takes 1 inputs, got 2"});
}

TEST(Errors, DepthIsBounded) {
  std::string inner = Graph().node("Relu", {"x"}, {"o"}).output("o").bytes();
  for (int i = 0; i < 1000; ++i)
    inner = Graph().node("If", {"c"}, {"o"}, {attr_graph("then_branch", inner), attr_graph("else_branch", Graph().node("Abs", {"x"}, {"o"}).output("o").bytes())}).output("o").bytes();
  expect_error(model(Graph().input("x", 1, {"2"}).input("c", 9, {}).node("If", {"c"}, {"y"}, {attr_graph("then_branch", inner), attr_graph("else_branch", inner)}).output("y")),
               {"nested more than 64 deep"});
}

TEST(Errors, LoopsInLoopsAreBounded) {
  // Every level doubles the work of inference, so hundreds of levels would never end.
  std::string body = Graph().input("i", 7, {}).input("c", 9, {}).input("v", 1, {"2"}).node("Concat", {"v", "v"}, {"w"}, {attr_int("axis", 0)}).output("c").output("w").bytes();
  for (int i = 0; i < 20; ++i)
    body = Graph().input("i", 7, {}).input("c", 9, {}).input("v", 1, {"2"}).node("Loop", {"i", "c", "v"}, {"w"}, {attr_graph("body", body)}).output("c").output("w").bytes();
  expect_error(model(Graph().input("n", 7, {}).input("t", 9, {}).input("x", 1, {"2"}).node("Loop", {"n", "t", "x"}, {"y"}, {attr_graph("body", body)}, "outer").output("y")),
               {"loops are nested more than 8 deep"});
}

// Functions that call two of the next kind: the expansion would have 2^60 nodes.
TEST(Errors, ExpansionIsBounded) {
  std::vector<std::string> functions;
  for (int i = 0; i < 60; ++i) {
    const std::string next = "F" + std::to_string(i + 1);
    functions.push_back(function("my", "F" + std::to_string(i), {"p"}, {"q"}, {node(next, {"p"}, {"m"}, {}, "", "my"), node(next, {"m"}, {"q"}, {}, "", "my")}));
  }
  functions.push_back(function("my", "F60", {"p"}, {"q"}, {node("Identity", {"p"}, {"q"})}));
  expect_error(model(simple().node("F0", {"x"}, {"y"}, {}, "f", "my").output("y"), {.opsets = {{"", 17}, {"my", 1}}, .functions = functions}), {"more than 1000000 nodes"});
}

// A model with a bit of everything.
std::string rich_model() {
  const std::string yes = Graph().node("Mul", {"t", "w"}, {"r"}).output("r").bytes();
  const std::string no = Graph().node("Sub", {"t", "x"}, {"r"}).output("r").bytes();
  const std::string f = function("my", "Scale", {"p"}, {"q"}, {node("LeakyRelu", {"p"}, {"q"}, {attr_ref("alpha", 1, "slope")})}, {"slope"});
  return model(Graph()
                   .input("x", 1, {"n", "2"})
                   .input("c", 9, {})
                   .initializer(tensor("w", 1, {2}, raw<float>({1, 2})))
                   .node("Scale", {"x"}, {"t"}, {attr_float("slope", 0.1f)}, "scale", "my")
                   .node("If", {"c"}, {"r"}, {attr_graph("then_branch", yes), attr_graph("else_branch", no)}, "branch")
                   .node("Constant", {}, {"k"}, {attr_tensor("value", tensor("", 7, {1}, raw<int64_t>({-1})))})
                   .node("Reshape", {"r", "k"}, {"y"})
                   .output("y"),
               {.opsets = {{"", 17}, {"my", 1}}, .metadata = {{"k", "v"}}, .functions = {f}});
}

TEST(Robust, TheRichModelIsGood) {
  const std::string bytes = rich_model();
  auto graph = onnx::import_onnx_bytes(std::as_bytes(std::span(bytes)));
  ASSERT_TRUE(graph) << graph.error().message;
  const Status verified = ir::verify(**graph);
  EXPECT_TRUE(verified) << verified.message();
}

TEST(Robust, TruncatedAtEveryByte) {
  const std::string bytes = rich_model();
  for (size_t n = 0; n < bytes.size(); ++n) {
    const std::string cut = bytes.substr(0, n);
    // What still parses lacks its functions or opsets, which come last here.
    EXPECT_NE(error_of(cut), "no error") << n;
  }
}

TEST(Robust, EveryBitFlipped) {
  const std::string bytes = rich_model();
  size_t refused = 0;
  for (size_t i = 0; i < bytes.size() * 8; ++i) {
    std::string bad = bytes;
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
    auto graph = onnx::import_onnx_bytes(std::as_bytes(std::span(bad)));
    if (graph) {
      EXPECT_TRUE(ir::verify(**graph).ok()) << "bit " << i;
    } else {
      ++refused;
    }
  }
  EXPECT_GT(refused, bytes.size());  // most flips hit structure
}

TEST(Robust, RandomBytes) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = rich_model();
    for (int k = 0; k < 8; ++k) bytes[random() % bytes.size()] = static_cast<char>(random());
    auto graph = onnx::import_onnx_bytes(std::as_bytes(std::span(bytes)));
    if (graph) {
      EXPECT_TRUE(ir::verify(**graph).ok()) << round;
    }
  }
}

}  // namespace
}  // namespace carnot::onnx_test
