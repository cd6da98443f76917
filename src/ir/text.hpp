// SPDX-License-Identifier: Apache-2.0
// The text form of a graph. Printing and parsing are inverse: parse(print(g)) prints the same text.
//
//   graph main(%x: f32[batch,3,224,224]) {
//     metadata "producer" = "example"
//     %w = constant f32[2,2] {1, 2, 3, 4}          // more than 64 elements: 0x<bytes as hex>; all equal: splat {1}
//     %a, %b = split(axis=1) %x, _ : f32[batch,1,224,224], f32[batch,2,224,224] @ "Split_3" "Split"
//     %v = shape %x : i64[4] {batch,3,224,224}     // element values that inference tracked
//     %c = if %cond, %x { graph then(%p: f32[2]) { return %p } graph else(%p: f32[2]) { return %p } } : f32[2]
//     return %a "out0", %c "out1"                  // the names that users know the outputs by
//   }
//
// `_` is an absent optional operand. After '@' stand name and operator type in the source model. A name that is no plain word
// (letters, digits, _ . / : $ -) stands in quotes: %"a b". `//` starts a comment.
// For tests, a constant may also be written `constant f32[8,8] random {7}`: numbers from that seed, in [-1, 1) (integers: 0..9).
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "ir/graph.hpp"

namespace carnot::ir {

struct PrintOptions {
  // Constants of more bytes print as <elided N bytes>, for people: such text reads back only with ParseOptions::fill_elided.
  int64_t elide_above = -1;
};
std::string print(const Graph& graph, const PrintOptions& options = {});
// One line, without the bodies.
std::string print(const Node& node);

struct ParseOptions {
  bool fill_elided = false;  // elided constants become pseudo-random numbers instead of an error
};
// Errors carry line:column. Types are taken as written; run verify() on text from outside.
Result<std::unique_ptr<Graph>> parse(std::string_view text, const ParseOptions& options = {});

}  // namespace carnot::ir
