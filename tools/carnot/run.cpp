// SPDX-License-Identifier: Apache-2.0
// carnot run: one run of an engine or model on .npy files.
#include "command.hpp"
#include "npy.hpp"

namespace carnot::tool {
namespace {

struct Arguments {
  std::string engine, device, output;
  std::vector<std::string> inputs;
  int threads = 0;
};

std::string summary(const TensorView& view) {
  std::string text = fmt::format("{}{}", dtype_name(view.dtype), to_string(view.dims));
  if (auto values = to_doubles(view); values && !values->empty()) {
    double low = values->front(), high = low, sum = 0;
    for (double v : *values) {
      low = std::min(low, v);
      high = std::max(high, v);
      sum += v;
    }
    text += fmt::format("  min {:.6g}  mean {:.6g}  max {:.6g}", low, sum / static_cast<double>(values->size()), high);
  }
  return text;
}

Status run(const Arguments& a) {
  CARNOT_ASSIGN(const Engine engine, open_engine(a.engine, nullptr, a.device));
  Session session(engine, {.threads = a.threads, .device = a.device});
  std::vector<Constant> arrays;  // alive until the run is over
  for (const std::string& text : a.inputs) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) return invalid("--input {}: write NAME=FILE.npy", text);
    CARNOT_ASSIGN(Constant array, read_npy(text.substr(equals + 1)));
    arrays.push_back(std::move(array));
    const Constant& c = arrays.back();
    session.set_input(text.substr(0, equals), TensorRef(static_cast<carnot_dtype>(c.dtype), c.dims, const_cast<void*>(c.data)));
  }
  session.run();
  std::vector<std::pair<std::string, TensorView>> outputs;
  for (const IoInfo& io : engine.outputs()) {
    const TensorRef out = session.output(io.name);
    outputs.emplace_back(io.name, TensorView{static_cast<DType>(out.dtype()), out.dims(), out.raw()});
    fmt::print("{}: {}\n", io.name, summary(outputs.back().second));
  }
  return a.output.empty() ? Status() : write_npz(a.output, outputs);
}

}  // namespace

void add_run(CLI::App& app, int* exit_code) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("run", "Run an engine (or a model, built with defaults and cached) once");
  c->add_option("engine", a->engine, "engine or ONNX file")->required();
  c->add_option("-i,--input", a->inputs, "NAME=FILE.npy, once for each input");
  c->add_option("-o,--output", a->output, "OUT.npz: all outputs");
  c->add_option("--device", a->device, "where a model is built for and an engine runs: cpu, cuda, cuda:1");
  c->add_option("--threads", a->threads, "threads (0: one per core)")->capture_default_str();
  c->callback([a, exit_code] {
    Status status = run(*a);
    *exit_code = status ? kDone : report(status.error());
  });
}

}  // namespace carnot::tool
