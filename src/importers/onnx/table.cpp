// SPDX-License-Identifier: Apache-2.0
// (domain, operator, version) -> how to import it: a converter of this folder, or the operator whose description names it.
#include <algorithm>

#include "base/text.hpp"
#include "importers/onnx/importer.hpp"

namespace carnot::onnx {

#define CARNOT_CONVERTER_FILE(file) std::vector<ConverterRow> rows_of_##file();
#include "all_converters.inc"
#undef CARNOT_CONVERTER_FILE

std::vector<ConverterRow> all_converters() {
  std::vector<ConverterRow> all;
  const auto append = [&](std::vector<ConverterRow> rows) { all.insert(all.end(), rows.begin(), rows.end()); };
#define CARNOT_CONVERTER_FILE(file) append(rows_of_##file());
#include "all_converters.inc"
#undef CARNOT_CONVERTER_FILE
  return all;
}

namespace {

struct Row {
  int since, until;
  Target target;
};
using Key = std::pair<std::string_view, std::string_view>;  // domain, operator

const std::map<Key, std::vector<Row>>& table() {
  static const auto* rows = [] {
    auto* map = new std::map<Key, std::vector<Row>>();
    // Converters first: where both have a row, the converter knows better.
    for (const ConverterRow& row : all_converters()) (*map)[{row.domain, row.op}].push_back({row.since, row.until, {nullptr, row.convert}});
    for (const ops::OpEntry* entry : ops::all_ops())
      for (const ops::OnnxName& name : entry->info->onnx) (*map)[{name.domain, name.op}].push_back({name.since, name.until, {entry, nullptr}});
    return map;
  }();
  return *rows;
}

}  // namespace

Result<Target> find_target(std::string_view domain, std::string_view op, int64_t version) {
  const std::string_view shown = domain.empty() ? "ai.onnx" : domain;
  const auto it = table().find({domain, op});
  if (it != table().end()) {
    int first = kLatest;
    for (const Row& row : it->second) {
      if (version >= row.since && version <= row.until) return row.target;
      first = std::min(first, row.since);
    }
    return fail(Code::kUnsupported, "operator '{}' of domain '{}' is not supported at opset {} (from opset {}); convert the model to a newer opset", op, shown, version,
                first);
  }
  std::string_view nearest;
  size_t best = std::min<size_t>(3, op.size());
  for (const auto& [key, rows] : table())
    if (const size_t d = op.size() < 64 ? edit_distance(op, key.second) : best; d < best) {
      best = d;
      nearest = key.second;
    }
  return fail(Code::kUnsupported, "operator '{}' of domain '{}' (opset {}) is not known{}", op.substr(0, 100), shown.substr(0, 100), version,
              nearest.empty() ? std::string() : fmt::format("; did you mean '{}'?", nearest));
}

}  // namespace carnot::onnx
