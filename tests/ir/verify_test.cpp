// SPDX-License-Identifier: Apache-2.0
#include "ir/verify.hpp"

#include <gtest/gtest.h>

#include "ir/text.hpp"

namespace carnot::ir {
namespace {

std::string verdict(std::string_view text) {
  auto graph = parse(text);
  if (!graph) return "does not parse: " + graph.error().message;
  Status status = verify(**graph);
  return status ? "good" : status.message();
}

TEST(Verify, AcceptsAndRefuses) {
  EXPECT_EQ(verdict("graph main(%x: f32[n,2], %i: i64[]) { %a = gather %x, %i : f32[2] return %a }"), "good");
  // A dim may be more specific than inference can tell.
  EXPECT_EQ(verdict("graph main(%x: f32[n,m], %i: i64[]) { %a = gather %x, %i : f32[7] return %a }"), "good");
  const std::pair<const char*, const char*> cases[] = {
      {"graph main(%x: f32[n,2], %i: i64[]) { %a = gather %x, %i : f32[3] return %a }", "dimensions differ"},
      {"graph main(%x: f32[n,2], %i: i64[]) { %a = gather %x, %i : f16[2] return %a }", "element types differ"},
      {"graph main(%x: f32[n,2], %i: i64[]) { %a = gather %x, %i : f32[2,2] return %a }", "ranks differ"},
      {"graph main(%x: f32[n,2]) { %a = gather %x : f32[2] return %a }", "input 1 ('indices') is missing"},
      {"graph main(%x: f32[n,2]) { %a = gather %x, %x : f32[2] @ \"G_1\" \"Gather\" return %a }", "node 'G_1' (Gather)"},
      {"graph main(%x: f32[2]) { %a = group(kind=\"x\") %x { graph b(%p: f32[2], %q: f32[2]) { return %p } } : f32[2] return %a }",
       "the body takes 2 values"},
      {"graph main(%x: f32[2]) { %a = group(kind=\"x\") %x { graph b(%p: f32[2,2]) { return %p } } : f32[2,2] return %a }",
       "operand 0 does not have the type"},
  };
  for (const auto& [text, message] : cases) EXPECT_NE(verdict(text).find(message), std::string::npos) << text << "\n  gave: " << verdict(text);
}

TEST(Verify, SeesWrongOrder) {
  auto graph = parse("graph main(%x: f32[n,2], %i: i64[]) { %a = gather %x, %i : f32[2] %b = gather %a, %i : f32[] return %b }");
  ASSERT_TRUE(graph);
  ASSERT_TRUE(verify(**graph));
  (*graph)->move_before((*graph)->find("b")->producer, (*graph)->find("a")->producer);
  Status status = verify(**graph);
  ASSERT_FALSE(status);
  EXPECT_NE(status.message().find("used before it is defined"), std::string::npos);
}

}  // namespace
}  // namespace carnot::ir
