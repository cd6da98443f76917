// SPDX-License-Identifier: Apache-2.0
#include "importers/onnx/import.hpp"

#include <filesystem>
#include <string_view>

#include "importers/onnx/importer.hpp"

namespace carnot::onnx {
namespace {

// Some decisions (see convert_if.cpp) show only later whether they were right: then the next combination is tried, last decision first.
// More attempts than this mean that the model is wrong for another reason.
constexpr int kMaxAttempts = 32;

Result<std::unique_ptr<ir::Graph>> import_model(const ModelProto& model, const ImportOptions& options, Tensors& tensors) {
  Attempts attempts;
  std::vector<bool>& guesses = attempts.guesses;
  auto first = Importer(model, options, tensors, attempts).run();
  for (int i = 1; !first && i < kMaxAttempts; ++i) {
    while (!guesses.empty() && !guesses.back()) guesses.pop_back();
    if (guesses.empty()) break;
    guesses.back() = false;
    auto next = Importer(model, options, tensors, attempts).run();
    if (next) return next;
  }
  return first;
}

Result<std::unique_ptr<ir::Graph>> import_from(std::span<const std::byte> bytes, const ImportOptions& options, std::shared_ptr<const void> owner, bool mapped) {
  const auto here = [&](Error e) { return std::move(e).within(options.name); };
  if (bytes.empty()) return here(fail(Code::kDataCorrupt, "the file is empty"));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with("version https://git-lfs")) return here(fail(Code::kDataCorrupt, "this is a Git LFS pointer, not the model; run 'git lfs pull'"));
  auto model = read_model(bytes);
  if (!model) return here(std::move(model.error()).within("not an ONNX model, or a damaged one"));
  Tensors tensors(std::move(owner), mapped, options.folder, options.external_root);
  auto graph = import_model(*model, options, tensors);
  if (!graph) return here(std::move(graph.error()));
  return graph;
}

}  // namespace

Result<std::unique_ptr<ir::Graph>> import_onnx_bytes(std::span<const std::byte> bytes, const ImportOptions& options, std::shared_ptr<const void> owner) {
  return import_from(bytes, options, std::move(owner), false);
}

Result<std::unique_ptr<ir::Graph>> import_onnx_file(const std::string& path, const ImportOptions& options) {
  CARNOT_ASSIGN(std::shared_ptr<MappedFile> file, MappedFile::open(path));
  ImportOptions here = options;
  here.name = path;
  here.folder = std::filesystem::path(path).parent_path().string();
  if (here.folder.empty()) here.folder = ".";
  return import_from(file->bytes(), here, file, true);
}

}  // namespace carnot::onnx
