// SPDX-License-Identifier: Apache-2.0
// carnot bench: how fast an engine runs on random inputs.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>

#include "command.hpp"

namespace carnot::tool {
namespace {

using Clock = std::chrono::steady_clock;

struct Arguments {
  std::string engine, device;
  std::vector<std::string> shapes;
  int threads = 0;
  double seconds = 3;
  bool profile = false, json = false;
};

// Standard-normal floats; integers in [0, 2), which any mask, index or length admits; fixed seed.
Constant random_input(DType dtype, const Dims& dims, std::mt19937& rng) {
  Constant c = Constant::allocate(dtype, dims);
  std::normal_distribution<float> normal;
  dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    auto* p = static_cast<T*>(c.mutable_data());
    for (int64_t i = 0; i < c.size(); ++i) p[i] = is_float(dtype) ? static_cast<T>(normal(rng)) : static_cast<T>(rng() % 2);
  });
  return c;
}

Result<std::vector<Constant>> make_inputs(const Engine& engine, const std::vector<std::string>& texts) {
  CARNOT_ASSIGN(const std::vector<Dims> shapes, input_shapes(engine, texts, [](const IoInfo& io, size_t a) { return io.opt.empty() || io.opt[a] < 0 ? 1 : io.opt[a]; }));
  std::mt19937 rng(0);
  std::vector<Constant> inputs;
  const std::vector<IoInfo> infos = engine.inputs();
  for (size_t i = 0; i < infos.size(); ++i) inputs.push_back(random_input(static_cast<DType>(infos[i].dtype), shapes[i], rng));
  return inputs;
}

Status bench(const Arguments& a) {
  double build_seconds = 0;
  CARNOT_ASSIGN(const Engine engine, open_engine(a.engine, &build_seconds, a.device));
  CARNOT_ASSIGN(const std::vector<Constant> inputs, make_inputs(engine, a.shapes));
  Session session(engine, {.threads = a.threads, .profile = a.profile, .device = a.device});
  const std::vector<IoInfo> infos = engine.inputs();
  for (size_t i = 0; i < inputs.size(); ++i)
    session.set_input(infos[i].name, TensorRef(infos[i].dtype, inputs[i].dims, const_cast<void*>(inputs[i].data)));
  for (int i = 0; i < 3; ++i) session.run();
  std::vector<double> ms;
  const auto begin = Clock::now();
  while ((std::chrono::duration<double>(Clock::now() - begin).count() < a.seconds || ms.size() < 10) && !interrupted()) {
    const auto t = Clock::now();
    session.run();
    ms.push_back(std::chrono::duration<double, std::milli>(Clock::now() - t).count());
  }
  if (ms.empty()) return fail(Code::kCancelled, "interrupted");
  std::sort(ms.begin(), ms.end());
  auto quantile = [&](double q) { return ms[std::min(ms.size() - 1, static_cast<size_t>(q * static_cast<double>(ms.size())))]; };
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  nlohmann::ordered_json result = {{"engine", a.engine},        {"runs", ms.size()},         {"min_ms", ms.front()},
                                   {"p50_ms", quantile(0.5)},   {"p90_ms", quantile(0.9)},   {"p99_ms", quantile(0.99)},
                                   {"runs_per_second", 1e3 / quantile(0.5)}, {"working_memory_mb", static_cast<double>(session.memory()) / 1e6},
                                   {"peak_rss_mb", static_cast<double>(usage.ru_maxrss) / 1024}, {"build_seconds", build_seconds}};
  if (a.profile) result["profile"] = nlohmann::ordered_json::parse(session.profile_json());
  if (a.json) {
    fmt::print("{}\n", result.dump(2));
    return {};
  }
  fmt::print("latency     min {:.3f} ms  p50 {:.3f}  p90 {:.3f}  p99 {:.3f}   ({} runs)\n", ms.front(), quantile(0.5), quantile(0.9), quantile(0.99), ms.size());
  fmt::print("throughput  {:.1f} runs/s\n", 1e3 / quantile(0.5));
  fmt::print("memory      {:.1f} MB working, {:.1f} MB peak RSS\n", static_cast<double>(session.memory()) / 1e6, static_cast<double>(usage.ru_maxrss) / 1024);
  if (build_seconds > 0) fmt::print("build       {:.2f} s\n", build_seconds);
  if (a.profile) {
    auto rows = result["profile"];
    std::sort(rows.begin(), rows.end(), [](const auto& x, const auto& y) { return x["microseconds"] > y["microseconds"]; });
    double total = 0;
    for (const auto& row : rows) total += row["microseconds"].template get<double>();
    fmt::print("\n{:>10}  {:>5}  {:<28} where\n", "us", "%", "kernel");
    for (const auto& row : rows)
      fmt::print("{:>10.1f}  {:>5.1f}  {:<28} {}\n", row["microseconds"].template get<double>(), 100 * row["microseconds"].template get<double>() / total,
                 row["kernel"].template get<std::string>(), row["where"].template get<std::string>());
  }
  return {};
}

}  // namespace

void add_bench(CLI::App& app, int* exit_code) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("bench", "Time an engine (or model) on random inputs");
  c->add_option("engine", a->engine, "engine or ONNX file")->required();
  c->add_option("--shape", a->shapes, "NAME:1x3x224x224; dynamic dims of inputs that are not named have the size that the engine was built for, else 1");
  c->add_option("--device", a->device, "where a model is built for and an engine runs: cpu, cuda, cuda:1");
  c->add_option("--threads", a->threads, "threads (0: one per core)")->capture_default_str();
  c->add_option("--seconds", a->seconds, "how long to measure")->capture_default_str();
  c->add_flag("--profile", a->profile, "time of each command, slowest first");
  c->add_flag("--json", a->json, "print JSON");
  c->callback([a, exit_code] {
    Status status = bench(*a);
    *exit_code = status ? kDone : report(status.error());
  });
}

}  // namespace carnot::tool
