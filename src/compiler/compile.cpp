// SPDX-License-Identifier: Apache-2.0
#include "compiler/compile.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "compiler/assign.hpp"
#include "compiler/check.hpp"
#include "compiler/cuda_code.hpp"
#include "compiler/pipeline.hpp"
#include "compiler/plan_builder.hpp"
#include "compiler/shape_ranges.hpp"
#include "compiler/trial.hpp"
#include "compiler/tune.hpp"
#include "device/backend.hpp"
#include "passes/support_precision.hpp"

namespace carnot::compiler {
namespace {

constexpr double kBuildShare = 0.2;  // of the progress, where a check follows
constexpr double kTuneBegin = 0.1, kTuneEnd = 0.95;  // of the progress, where candidates are timed

Status check_options(const BuildOptions& options) {
  if (!options.calibration.empty())
    return fail(Code::kUnsupported, "--calibration finds the scales of int8 and fp8, which this build does not offer yet; leave it out and use --precision fp16 or bf16");
  return {};
}

// "cpu", "cuda", "cuda:1", "cuda:sm_90".
Result<tactics::Target> parse_target(const std::string& device) {
  if (device == "cpu") return tactics::Target{};
  constexpr std::string_view kArchitecture = "cuda:sm_";
  std::string architecture = device;
  if (!device.starts_with(kArchitecture)) {
    CARNOT_ASSIGN(const device::DeviceName name, device::parse_device(device));
    const auto info = [&]() -> Result<device::DeviceInfo> {
      CARNOT_ASSIGN(device::Backend* const backend, device::open_backend(name.kind));
      CARNOT_ASSIGN(const auto opened, backend->open(name.ordinal));
      return opened->info();
    }();
    if (!info) return fail(info.error().code, "{}; to build without a GPU name its architecture, as in --device cuda:sm_90", info.error().message);
    architecture = "cuda:" + info->architecture;
  }
  tactics::Target target{"cuda", 0};
  for (const char c : architecture.substr(kArchitecture.size())) target.sm = c >= '0' && c <= '9' && target.sm < 1000 ? target.sm * 10 + (c - '0') : 10000;
  if (target.sm < 75 || target.sm > 999) return invalid("device '{}': architectures are written as cuda:sm_90, and the oldest is sm_75", device);
  return target;
}

Result<tactics::Effort> parse_effort(const std::string& text) {
  if (text == "heuristic") return tactics::Effort::kHeuristic;
  if (text == "tune") return tactics::Effort::kTune;
  if (text == "exhaustive") return tactics::Effort::kExhaustive;
  return invalid("--effort {}: write heuristic, tune or exhaustive", text);
}

// Choices that were timed in the place of the heuristic's. What was timed is kept in the timing cache even if the build is cancelled.
Status tune_choices(const ir::Graph& graph, const tactics::Target& target, tactics::Effort effort, const BuildOptions& options, Assignment& assignment,
                    std::map<std::string, std::string>& build) {
  if (effort == tactics::Effort::kHeuristic && options.timing_cache.empty()) return {};
  TuneReport report;
  TuneOptions wish{.effort = effort, .target = target, .sizes = trial_sizes(graph, options.shapes, Trial::kTiming)};
  std::shared_ptr<TrialMachine> machine = options.trial_machine;
  if (!machine) {
    CARNOT_ASSIGN(machine, open_trial_machine(options.device, options.threads));
  }
  wish.machine = machine.get();
  if (!machine) {
    report.note = fmt::format("'{}' names no GPU at hand: kernels are chosen without timing; build on the GPU's machine with --device cuda to tune", options.device);
    if (options.on_tune) options.on_tune(report);
    return {};
  }
  TimingCache cache(machine->key());
  if (!options.timing_cache.empty()) {
    CARNOT_ASSIGN(cache, TimingCache::load(options.timing_cache, machine->key()));
    wish.cache = &cache;
    if (cache.problems() == 0 && cache.other_machines() > 0)
      report.note = fmt::format("timing cache '{}': only has times of other machines, devices or builds of Carnot; they are kept and not used", options.timing_cache);
  }
  wish.step = [&](double done) -> Status {
    if (options.progress && !options.progress("tune", kTuneBegin + (kTuneEnd - kTuneBegin) * done)) return fail(Code::kCancelled, "the build was cancelled");
    return {};
  };
  Status tuned = tune(graph, wish, assignment, report);
  if (wish.cache && report.timed > 0)
    if (Status saved = cache.save(options.timing_cache); !saved && tuned) return std::move(saved.error()).within("timing cache");
  if (!tuned) return tuned;
  CARNOT_LOG(1, "tune", "{}", report.str());
  if (options.on_tune) options.on_tune(report);
  build["tuned"] = fmt::format("{} of {} problems", report.won, report.problems);
  return {};
}

// The code that commands launch, compiled, with its places in the code section.
Result<std::vector<std::byte>> compile_code(BuiltProgram& built, const tactics::Target& target) {
  std::vector<std::byte> section;
  CARNOT_ASSIGN(const auto binaries, compile_cuda(built.sources, target.sm));
  for (const std::string& binary : binaries) {
    section.resize((section.size() + 63) / 64 * 64);
    built.program.code.push_back({"", cuda_architecture(target.sm), section.size(), binary.size()});
    const auto* bytes = reinterpret_cast<const std::byte*>(binary.data());
    section.insert(section.end(), bytes, bytes + binary.size());
  }
  return section;
}

// What the precision asked for became, for whoever inspects the engine. fp32 alone leaves no trace.
void record_precision(const passes::PrecisionSettings& settings, const passes::PrecisionReport& report, std::map<std::string, std::string>& build) {
  std::string layers, notes;
  if (settings.tf32) notes = "tf32 runs as fp32: the CPU has no such units";
  for (const passes::LayerRule& rule : settings.layers) layers += (layers.empty() ? "" : " ") + rule.text;
  for (const auto& [node, text] : report.notes) notes += fmt::format("{}'{}' {}", notes.empty() ? "" : "; ", node, text);
  if (!settings.asks_nothing()) build["casts"] = std::to_string(report.casts);
  if (!layers.empty()) build["layer_precision"] = layers;
  if (!notes.empty()) build["precision_notes"] = notes;
}

}  // namespace

Result<Compiled> compile_traced(std::unique_ptr<ir::Graph> graph, const BuildOptions& options) {
  CARNOT_RETURN_IF_ERROR(check_options(options));
  CARNOT_ASSIGN(const tactics::Target target, parse_target(options.device));
  CARNOT_ASSIGN(const tactics::Effort effort, parse_effort(options.effort));
  for (const auto& v : graph->values()) v->source = v->name;
  CARNOT_ASSIGN(auto ranges, apply_shapes(*graph, options.shapes));
  const size_t nodes = graph->nodes().size();
  CARNOT_ASSIGN(passes::PrecisionSettings precision, passes::parse_precision(options.precision, options.layer_precision));
  precision.wide_inside = target.device != "cpu";
  CARNOT_RETURN_IF_ERROR(passes::check_layer_rules(*graph, precision));
  passes::PrecisionReport precision_report;
  BuildOptions before_tuning = options;
  if (options.progress && effort != tactics::Effort::kHeuristic)
    before_tuning.progress = [&](std::string_view phase, double done) { return options.progress(phase, done * kTuneBegin); };
  CARNOT_RETURN_IF_ERROR(run_pipeline(*graph, before_tuning, {.precision = &precision, .precision_report = &precision_report}));

  Assignment assignment;
  size_t done = 0;
  // Who tunes packs weights again, and who stops here prints them.
  const bool frugal = effort == tactics::Effort::kHeuristic && options.timing_cache.empty() && options.stop_after.empty();
  CARNOT_RETURN_IF_ERROR(assign(*graph, target, assignment, [&]() -> Status {
    ++done;
    if (before_tuning.progress && !before_tuning.progress("assign", 0.5 + 0.4 * std::min(1.0, static_cast<double>(done) / static_cast<double>(graph->nodes().size() + 1))))
      return fail(Code::kCancelled, "the build was cancelled");
    return {};
  }, frugal && target.device == "cpu"));
  std::map<std::string, std::string> tuned;
  CARNOT_RETURN_IF_ERROR(tune_choices(*graph, target, effort, options, assignment, tuned));
  CARNOT_RETURN_IF_ERROR(stop_here(*graph, options, "assign"));
  CARNOT_ASSIGN(BuiltProgram built, build_program(*graph, assignment, target));
  for (const std::string& name : built.program.input_names) built.program.input_ranges.push_back(std::move(ranges[name]));
  CARNOT_ASSIGN(const std::vector<std::byte> code, compile_code(built, target));
  size_t reference = 0;
  for (const auto& plan : built.program.plans)
    for (const auto& command : plan.commands) reference += command.kernel.starts_with("ref:");
  built.program.build = {{"device", options.device}, {"precision", options.precision}, {"effort", options.effort}, {"source_nodes", std::to_string(nodes)}};
  built.program.build.merge(tuned);
  record_precision(precision, precision_report, built.program.build);
  CARNOT_LOG(1, "build", "{} nodes -> {} commands, {} of them on the reference", nodes, built.program.plans[0].commands.size(), reference);
  if (options.progress && !options.progress("plan", 0.95)) return fail(Code::kCancelled, "the build was cancelled");
  // From here on the pieces alone hold the weights.
  assignment.clear();
  graph.reset();
  CARNOT_ASSIGN(std::vector<std::byte> bytes, engine::write_bytes(built.program, std::move(built.constants), code));
  return Compiled{std::move(bytes), std::move(built.value_sources)};
}

Result<std::vector<std::byte>> compile(std::unique_ptr<ir::Graph> graph, const BuildOptions& options) {
  if (!options.check) {
    CARNOT_ASSIGN(Compiled compiled, compile_traced(std::move(graph), options));
    return std::move(compiled.bytes);
  }
  const std::unique_ptr<ir::Graph> source = graph->clone(nullptr);
  BuildOptions first = options;
  // The reference takes most of the time.
  if (options.progress) first.progress = [&](std::string_view phase, double done) { return options.progress(phase, done * kBuildShare); };
  CARNOT_ASSIGN(Compiled compiled, compile_traced(std::move(graph), first));
  // One narrow layer is enough to make the whole network's outputs coarse.
  double allowed = check_tolerance(options.precision);
  for (const std::string& rule : options.layer_precision) allowed = std::max(allowed, check_tolerance(std::string_view(rule).substr(rule.rfind(':') + 1)));
  CheckOptions check{.tolerance = options.check_tolerance > 0 ? options.check_tolerance : allowed,
                     .sizes = trial_sizes(*source, options.shapes, Trial::kCheck),
                     .threads = options.threads};
  // An architecture names no device: the first one runs it.
  if (options.device != "cpu" && options.device.find(":sm_") == std::string::npos) check.device = options.device;
  if (options.progress) check.progress = [&](double done) { return options.progress("check", kBuildShare + (1 - kBuildShare) * done); };
  auto report = check_engine(*source, compiled.bytes, compiled.sources, check);
  if (!report) return report.error().code == Code::kCancelled ? report.error() : std::move(report.error()).within("--check");
  if (options.on_check) options.on_check(*report);
  if (!report->passed()) {
    const auto bad = std::find_if(report->outputs.begin(), report->outputs.end(), [](const CheckedValue& v) { return !v.passed(); });
    const CheckedValue* layer = report->first_bad();
    return invalid("--check: output '{}' differs from the reference: {}{}", bad->name,
                   bad->difference.problem.empty() ? fmt::format("{:.3g} of its range, allowed are {:g}", bad->difference.relative, bad->tolerance) : bad->difference.problem,
                   layer ? fmt::format("; the first layer that differs is {} on {}", layer->where, layer->kernel) : "");
  }
  return std::move(compiled.bytes);
}

}  // namespace carnot::compiler
