// SPDX-License-Identifier: Apache-2.0
// Cast: in opset 1 the type is a word; an element type that Carnot has not is named. CastLike takes the type of its second operand.
#include <algorithm>
#include <cctype>

#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

Outputs cast(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(1, 1));
  if (n.opset() < 6) {
    CARNOT_ASSIGN(std::string word, n.string_attr("to", ""));
    std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::tolower(c); });
    const auto dtype = parse_dtype(word == "float" ? "float32" : word == "double" ? "float64" : word);
    if (!dtype) return invalid("attribute 'to' holds '{}', which is no element type", word);
    return n.emit("cast", {n.in(0)}, {{"to", *dtype}});
  }
  CARNOT_ASSIGN(Attrs attrs, n.attrs({"to"}));
  if (!n.has_attr("to")) return invalid("attribute 'to' is missing");
  CARNOT_ASSIGN(const int64_t to, n.int_attr("to", 0));
  if (to != static_cast<int64_t>(DType::kString)) {
    CARNOT_RETURN_IF_ERROR(dtype_of(static_cast<int32_t>(std::clamp<int64_t>(to, 0, 1000))));
  }
  attrs.emplace_back("to", static_cast<DType>(to));
  return n.emit("cast", {n.in(0)}, attrs);
}

Outputs cast_like(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(2, 2));
  CARNOT_ASSIGN(Attrs attrs, n.attrs());
  attrs.emplace_back("to", n.in(1)->dtype());
  return n.emit("cast", {n.in(0)}, attrs);
}

}  // namespace

CARNOT_CONVERTERS(convert_cast, {"Cast", 1, kLatest, cast}, {"CastLike", 15, kLatest, cast_like})

}  // namespace carnot::onnx
