// SPDX-License-Identifier: Apache-2.0
// What a good model becomes, as text.
#include <gtest/gtest.h>

#include "importers/onnx/import.hpp"
#include "ir/text.hpp"
#include "ir/verify.hpp"
#include "model_maker.hpp"

namespace carnot::onnx_test {
namespace {

std::string import_text(const std::string& bytes, const onnx::ImportOptions& options = {}) {
  auto graph = onnx::import_onnx_bytes(std::as_bytes(std::span(bytes)), options);
  if (!graph) return "error: " + graph.error().message;
  if (Status s = ir::verify(**graph); !s) return "verifier: " + s.message();
  return ir::print(**graph);
}
void expect_has(const std::string& text, std::string_view part) { EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in:\n" << text; }
void expect_not(const std::string& text, std::string_view part) { EXPECT_EQ(text.find(part), std::string::npos) << "'" << part << "' is in:\n" << text; }

TEST(Import, NodesValuesAndMetadata) {
  const std::string text = import_text(model(Graph()
                                                 .input("x", 1, {"batch", "3"})
                                                 .initializer(tensor("w", 1, {3}, raw<float>({1, 2, 3})))
                                                 .node("Add", {"x", "w"}, {"t"}, {}, "Add_0")
                                                 .node("Relu", {"t"}, {"y"})
                                                 .output("y"),
                                             {.metadata = {{"key", "value"}}}));
  expect_has(text, "graph main(%x: f32[batch,3])");
  expect_has(text, "metadata \"producer\" = \"maker 1.0\"");
  expect_has(text, "metadata \"key\" = \"value\"");
  expect_has(text, "%w = constant f32[3] {1, 2, 3}");
  expect_has(text, "%t = add %x, %w : f32[batch,3] @ \"Add_0\" \"Add\"");
  expect_has(text, "%y = relu %t : f32[batch,3] @ \"Relu_1\" \"Relu\"");
  expect_has(text, "return %y\n");
}

TEST(Import, AttributesPassThrough) {
  const std::string text = import_text(model(Graph()
                                                 .input("x", 1, {"4", "5"})
                                                 .initializer(tensor("i", 7, {2}, raw<int64_t>({0, 1})))
                                                 .node("Gather", {"x", "i"}, {"y"}, {attr_int("axis", 1)})
                                                 .node("LeakyRelu", {"y"}, {"z"}, {attr_float("alpha", 0.5f)})
                                                 .node("Cast", {"z"}, {"c"}, {attr_int("to", 6)})
                                                 .output("c")));
  expect_has(text, "gather(axis=1) %x, %i : f32[4,2]");
  expect_has(text, "leaky_relu(alpha=0.5)");
  expect_has(text, "cast(to=i32) %z : i32[4,2]");
}

TEST(Import, SymbolsAreReadableAndDistinct) {
  const std::string text = import_text(model(
      Graph().input("x:0", 1, {"?", "a b", "a?b", "7", "-1", "2n"}).node("Relu", {"x:0"}, {"y"}).output("y")));
  expect_has(text, "f32[x:0_0,a_b,a_b_1,7,x:0_4,_2n]");
}

// Every first dim is called "batch", but one counts the caches in a stack.
TEST(Import, DimsOfAStackAreItsOwn) {
  const std::string text = import_text(model(Graph()
                                                 .input("ids", 1, {"batch", "4"})
                                                 .input("mask", 1, {"batch", "4"})
                                                 .input("kv", 1, {"batch", "4"})
                                                 .initializer(tensor("one", 7, {}, raw<int64_t>({1})))
                                                 .initializer(tensor("two", 7, {}, raw<int64_t>({2})))
                                                 .node("Gather", {"kv", "one"}, {"a"})
                                                 .node("Gather", {"kv", "two"}, {"b"}, {attr_int("axis", -2)})
                                                 .node("Sum", {"ids", "mask", "a", "b"}, {"y"})
                                                 .output("y")));
  expect_has(text, "graph main(%ids: f32[batch,4], %mask: f32[batch,4], %kv: f32[kv_0,4])");
}

TEST(Import, GivenShapesReplaceDims) {
  const std::string bytes = model(Graph().input("x", 1, {"n", "h"}).node("Relu", {"x"}, {"y"}).output("y"));
  expect_has(import_text(bytes, {.shapes = {{"x", {2, -1}}}}), "graph main(%x: f32[2,h])");
  expect_has(import_text(bytes, {.shapes = {{"x", {2}}}}), "input 'x' has rank 2, the shape given for it has 1");
  expect_has(import_text(bytes, {.shapes = {{"z", {2}}}}), "has no such input; it has 'x'");
}

TEST(Import, InitializersListedAsInputsAreConstants) {
  const std::string text = import_text(model(Graph()
                                                 .input("x", 1, {"2"})
                                                 .input("w", 1, {"2"})
                                                 .initializer(tensor("w", 1, {2}, raw<float>({1, 2})))
                                                 .node("Mul", {"x", "w"}, {"y"})
                                                 .output("y")));
  expect_has(text, "graph main(%x: f32[2]) {");
}

TEST(Import, KnownValuesFoldAtOnce) {
  const std::string text = import_text(model(Graph()
                                                 .input("x", 1, {"2"})
                                                 .node("Constant", {}, {"a"}, {attr_tensor("value", tensor("", 1, {1}, raw<float>({4})))})
                                                 .node("Sqrt", {"a"}, {"b"})
                                                 .node("Identity", {"b"}, {"c"})
                                                 .node("Mul", {"x", "c"}, {"y"})
                                                 .output("y")));
  expect_has(text, "%b = constant f32[1] {2}");
  expect_has(text, "%y = mul %x, %b");
  expect_not(text, "sqrt");
}

TEST(Import, FunctionsAreExpandedWithTheirAttributes) {
  const std::string f = function("my", "Scale", {"p"}, {"q"}, {node("LeakyRelu", {"p"}, {"l"}, {attr_ref("alpha", 1, "slope")}), node("Relu", {"l"}, {"q"})}, {"slope"});
  const std::string text = import_text(model(Graph()
                                                 .input("x", 1, {"2"})
                                                 .node("Scale", {"x"}, {"y"}, {attr_float("slope", 0.25f)}, "first", "my")
                                                 .node("Scale", {"y"}, {"z"}, {}, "second", "my")
                                                 .output("z"),
                                             {.opsets = {{"", 17}, {"my", 1}}, .functions = {f}}));
  expect_has(text, "leaky_relu(alpha=0.25) %x : f32[2] @ \"first/LeakyRelu_0\" \"LeakyRelu\"");
  expect_has(text, "@ \"second/Relu_1\"");
}

}  // namespace
}  // namespace carnot::onnx_test
