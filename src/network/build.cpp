// SPDX-License-Identifier: Apache-2.0
// From a network or an ONNX file to the bytes of an engine.
#include "compiler/check.hpp"
#include "compiler/tune.hpp"
#include "engine/writer.hpp"
#include "importers/onnx/import.hpp"
#include "impl.hpp"

namespace carnot {
namespace network_detail {

void raise(const Error& error) { throw Exception(static_cast<carnot_status>(error.code), error.message); }

static CheckResult to_result(const compiler::CheckReport& report) {
  CheckResult out{.passed = report.passed(), .text = report.str()};
  auto row = [](const compiler::CheckedValue& v) {
    const compiler::Difference& d = v.difference;
    return CheckResult::Row{v.name, v.where, v.kernel, d.max_abs, d.relative, d.cosine, v.tolerance, v.passed(), d.problem};
  };
  for (const auto& v : report.outputs) out.outputs.push_back(row(v));
  for (const auto& v : report.layers) out.layers.push_back(row(v));
  return out;
}

compiler::BuildOptions to_options(const BuildSettings& settings) {
  compiler::BuildOptions options;
  options.device = settings.device;
  options.precision = settings.precision;
  options.layer_precision = settings.layer_precision;
  options.effort = settings.effort;
  options.timing_cache = settings.timing_cache;
  if (settings.on_tune)
    options.on_tune = [on_tune = settings.on_tune](const compiler::TuneReport& r) {
      on_tune({r.problems, r.timed, r.cached, r.left, r.won, r.candidates, r.heuristic_ms, r.chosen_ms, r.str()});
    };
  options.progress = settings.progress;
  options.check = settings.check;
  options.check_tolerance = settings.check_tolerance;
  options.threads = settings.threads;
  if (settings.on_check) options.on_check = [on_check = settings.on_check](const compiler::CheckReport& report) { on_check(to_result(report)); };
  for (const auto& [name, profile] : settings.shapes) options.shapes[name] = {profile.min, profile.opt, profile.max};
  return options;
}

}  // namespace network_detail

namespace {

std::vector<std::byte> finish(Result<std::unique_ptr<ir::Graph>> graph, const BuildSettings& settings, const std::string& name) {
  auto bytes = compiler::compile(network_detail::unwrap(std::move(graph)), network_detail::to_options(settings));
  if (!bytes) network_detail::raise(std::move(bytes.error()).within(name));
  return std::move(*bytes);
}

}  // namespace

std::vector<std::byte> build_onnx(const std::string& path, const BuildSettings& settings) {
  return finish(onnx::import_onnx_file(path), settings, path);
}

std::vector<std::byte> build_onnx(const void* bytes, size_t size, const BuildSettings& settings) {
  return finish(onnx::import_onnx_bytes({static_cast<const std::byte*>(bytes), size}), settings, "model");
}

void write_engine(const std::string& path, const std::vector<std::byte>& bytes) {
  if (Status status = engine::write_file(path, bytes); !status) network_detail::raise(status.error());
}

}  // namespace carnot
