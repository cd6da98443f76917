// SPDX-License-Identifier: Apache-2.0
// carnot build: model in, engine file out.
#include <chrono>
#include <filesystem>

#include "command.hpp"
#include "compiler/check.hpp"
#include "compiler/tune.hpp"
#include "engine/writer.hpp"
#include "ir/text.hpp"

namespace carnot::tool {
namespace {

struct Arguments {
  std::string model, output, device = "cpu", precision = "fp32", effort = "heuristic", timing_cache, stop_after, calibration;
  std::vector<std::string> shapes, layer_precision;
  bool quiet = false, check = false;
  double check_tolerance = 0;
  int threads = 0;
};

int build(const Arguments& a) {
  compiler::BuildOptions options;
  options.device = a.device;
  options.precision = a.precision;
  options.layer_precision = a.layer_precision;
  options.calibration = a.calibration;
  options.effort = a.effort;
  options.timing_cache = a.timing_cache;
  options.stop_after = a.stop_after;
  options.check = a.check;
  options.check_tolerance = a.check_tolerance;
  options.threads = a.threads;
  std::string checked, tuned;
  options.on_tune = [&](const compiler::TuneReport& report) { tuned = report.str(); };
  options.on_check = [&](const compiler::CheckReport& report) { checked = report.str(); };
  bool stopped = false;
  options.on_stop = [&](const ir::Graph& graph, std::string_view) {
    stopped = true;
    std::fputs(ir::print(graph).c_str(), stdout);
  };
  for (const std::string& text : a.shapes) {
    auto shape = parse_shape(text);
    if (!shape) return report(shape.error());
    options.shapes.insert(std::move(*shape));
  }
  const auto begin = std::chrono::steady_clock::now();
  auto bytes = build_model(a.model, options, a.quiet);
  if (stopped) return kDone;
  if (!bytes) {
    const int code = report(bytes.error());
    std::fputs(checked.c_str(), stderr);
    return code;
  }
  const std::string output = a.output.empty() ? std::filesystem::path(a.model).stem().string() + ".engine" : a.output;
  if (Status status = engine::write_file(output, *bytes); !status) return report(status.error());
  if (!a.quiet) {
    std::fputs(tuned.c_str(), stderr);
    std::fputs(checked.c_str(), stderr);
    std::fprintf(stderr, "%s: %.1f MB, built in %.2f s\n", output.c_str(), static_cast<double>(bytes->size()) / 1e6,
                 std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return kDone;
}

}  // namespace

void add_build(CLI::App& app, int* exit_code) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("build", "Build an engine from an ONNX model");
  c->add_option("model", a->model, "ONNX file")->required();
  c->add_option("-o,--output", a->output, "engine file (default: the model's name with .engine, in this folder)");
  c->add_option("--device", a->device, "cpu, cuda (this machine's GPU), cuda:1, or cuda:sm_90 (no GPU needed to build)")->capture_default_str();
  c->add_option("--shape", a->shapes, "NAME:MIN[..OPT..MAX], sizes as 1x3x224x224: fixed, or a range that is tuned for OPT, reserves memory for MAX and refuses what lies outside; an input that is not named keeps its dynamic dims");
  c->add_option("--precision", a->precision, "of the whole network: fp32 tf32 bf16 fp16; inputs and outputs keep the model's types")->capture_default_str();
  c->add_option("--layer-precision", a->layer_precision,
                "GLOB:TYPE, by node name or result name of the model, or op=OPERATOR:TYPE; may be given often, the last that matches wins")
      ->allow_extra_args(false);
  c->add_option("--calibration", a->calibration, "data to find the scales of int8 and fp8 with (not available yet)");
  c->add_option("--effort", a->effort,
                "heuristic: choose kernels without timing them; tune: time the likely ones on this machine; exhaustive: time all of them")
      ->check(CLI::IsMember({"heuristic", "tune", "exhaustive"}))
      ->capture_default_str();
  c->add_option("--timing-cache", a->timing_cache,
                "file that keeps times from build to build; what it knows is not timed again (heuristic: is used as well). Made if it is missing");
  c->add_flag("--check", a->check, "compare the engine with the reference, run node by node on the same random inputs; refuse it if an output is out of tolerance");
  c->add_option("--check-tolerance", a->check_tolerance, "largest difference that --check allows, relative to an output's range (default: 1e-4 for fp32)")
      ->check(CLI::PositiveNumber);
  c->add_option("--threads", a->threads, "threads of the runs that --effort and --check make, and that kernels are tuned for; default: all cores")->check(CLI::Range(0, 1024));
  c->add_option("--stop-after", a->stop_after, "print the graph after this phase: import canonicalize precision layout fuse assign")
      ->check(CLI::IsMember({"import", "canonicalize", "precision", "layout", "fuse", "assign"}));
  c->add_flag("-q,--quiet", a->quiet, "no progress, no summary");
  c->callback([a, exit_code] { *exit_code = build(*a); });
}

}  // namespace carnot::tool
