// SPDX-License-Identifier: Apache-2.0
#include "collect.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "compiler/pipeline.hpp"
#include "ir/interpret.hpp"
#include "ir/text.hpp"
#include "paths.hpp"
#include "text_case.hpp"

namespace carnot::test {
namespace {
namespace fs = std::filesystem;

std::vector<fs::path> files_of(const std::string& folder, const char* extension) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == extension) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

class Collector {
 public:
  Collector(Collection& to, std::string filter) : to_(to), filter_(std::move(filter)) {}

  void text_file(const fs::path& path) {
    auto file = read_text_file(path.string());
    if (!file) return to_.errors.push_back(file.error().message);
    for (const auto& [line, what] : file->broken) to_.errors.push_back(fmt::format("{}:{}: {}", path.filename().string(), line, what));
    for (const TextCase& c : file->cases) {
      const std::string where = fmt::format("{}:{}", path.filename().string(), c.line);
      if (c.error || where.find(filter_) == std::string::npos) continue;
      text_case(where, c, false);
      text_case(where, c, true);
    }
  }

  void graph_file(const fs::path& path) {
    std::ifstream file(path);
    std::string text, line;
    int number = 0;
    auto flush = [&] {
      if (text.find("graph ") != std::string::npos) graph(fmt::format("{}#{}", path.filename().string(), number++), text);
      text.clear();
    };
    while (std::getline(file, line)) {
      if (line.starts_with("// ====")) flush();
      else text += line + "\n";
    }
    flush();
  }

 private:
  void text_case(const std::string& where, const TextCase& c, bool symbolic) {
    auto op = ops::make_op(c.op, c.attrs);
    if (!op || op->info().bodies > 0) return;
    std::vector<PathInput> inputs;
    std::vector<bool> wanted;
    for (const Operand& in : c.inputs) inputs.push_back({in.data});
    for (const Operand& out : c.results) wanted.push_back(out.kind != Operand::Kind::kAbsent);
    for (const PathInput& in : inputs)
      if (in.tensor && in.tensor->dtype == DType::kString) return;
    auto expected = run_reference(*op, inputs, wanted);
    if (!expected) return;
    auto graph = std::make_shared<ir::Graph>();
    std::vector<ir::Value*> operands(inputs.size(), nullptr);
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i].tensor) continue;
      const Constant& tensor = *inputs[i].tensor;
      if (i > 0 && (!symbolic || (tensor.dims.size() <= 1 && tensor.size() <= 16))) {
        operands[i] = graph->add_constant(tensor);
        continue;
      }
      Shape shape = to_shape(tensor.dims);
      for (size_t d = 0; symbolic && d < shape.size(); ++d)
        if (tensor.dims[d] != 0) shape[d] = Dim::symbol(fmt::format("d{}_{}", i, d));
      operands[i] = graph->add_input(fmt::format("i{}", i), tensor.dtype, shape);
    }
    ir::Graph::NodeOptions options;
    options.where = {"node", c.op};
    options.outputs = wanted.size();
    auto node = graph->add(*op, operands, std::move(options));
    if (!node) return;  // a rank that follows from data
    std::vector<ir::Value*> outputs;
    for (size_t i = 0; i < wanted.size(); ++i)
      if (wanted[i]) outputs.push_back((*node)->outputs[i]);
    graph->set_outputs(outputs);
    std::vector<std::optional<Constant>> in;
    for (const PathInput& i : inputs) in.push_back(i.tensor);
    try_node(fmt::format("{} {}", where, symbolic ? "symbolic" : "static"), graph, *node, in, *expected, c.tolerance.value_or(0));
  }

  void graph(const std::string& where, const std::string& text) {
    if (where.find(filter_) == std::string::npos) return;
    auto parsed = ir::parse(text);
    if (!parsed) return to_.errors.push_back(where + ": " + parsed.error().message);
    std::shared_ptr<ir::Graph> graph = std::move(*parsed);
    compiler::BuildOptions options;
    options.device = "cuda:sm_90";
    if (Status s = compiler::run_pipeline(*graph, options); !s) return to_.errors.push_back(where + ": " + s.message());
    auto inputs = ir::random_inputs(*graph);
    if (!inputs) return to_.errors.push_back(where + ": " + inputs.error().message);
    std::map<const ir::Value*, Constant> values;
    for (size_t i = 0; i < inputs->size(); ++i) values[graph->inputs()[i]] = (*inputs)[i];
    for (const auto& node : graph->nodes()) {
      std::vector<std::optional<Constant>> in;
      std::vector<TensorView> views;
      for (const ir::Value* v : node->inputs) {
        in.push_back(!v ? std::nullopt : v->constant ? std::optional(*v->constant) : std::optional(values.at(v)));
        views.push_back(in.back() ? in.back()->view() : TensorView());
      }
      auto out = ir::interpret(*node, views);
      if (!out) return to_.errors.push_back(where + ": " + out.error().message);
      std::vector<std::optional<Constant>> expected;
      for (size_t i = 0; i < out->size(); ++i) {
        values[node->outputs[i]] = (*out)[i];
        expected.push_back((*out)[i]);
      }
      // Kernels keep what lies between the steps of a group in f32, the reference rounds it.
      const bool narrow = std::any_of(in.begin(), in.end(), [](const auto& t) { return t && (t->dtype == DType::kF16 || t->dtype == DType::kBF16); });
      try_node(fmt::format("{} {}", where, ir::print(*node).substr(0, 60)), graph, node.get(), in, expected, narrow ? 4e-3 : 0);
    }
  }

  void try_node(const std::string& name, const std::shared_ptr<ir::Graph>& graph, const ir::Node* node, const std::vector<std::optional<Constant>>& in,
                const std::vector<std::optional<Constant>>& expected, double tolerance) {
    const tactics::Problem problem{*node, {"cuda", 90}};
    bool taken = false;
    for (const tactics::Tactic* tactic : tactics::all_tactics()) {
      if (tactic->device() != "cuda" || !tactic->refuses(problem).empty()) continue;
      // What a tuner may choose besides is tried where sizes are known: one text for each is enough.
      const auto& shape = node->outputs.at(0)->shape();
      const bool known = std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d.is_constant(); });
      for (const tactics::Config& config : tactic->configs(problem, known ? tactics::Effort::kExhaustive : tactics::Effort::kHeuristic)) {
        auto candidate = tactic->build(problem, config);
        if (!candidate) {
          to_.errors.push_back(fmt::format("{} {}: {}", name, tactic->name(), candidate.error().message));
          continue;
        }
        taken = true;
        if (candidate->kernel == "cuda.launch")
          to_.trials.push_back({fmt::format("{} {} ({})", name, tactic->name(), problem.str()), graph, node, std::move(*candidate), in, expected, tolerance});
      }
    }
    if (!taken) ++to_.refused[std::string(node->op.name())];
  }

  Collection& to_;
  std::string filter_;
};

}  // namespace

Collection collect(const std::string& ops_folder, const std::string& own_folder, const std::string& filter) {
  Collection all;
  Collector collector(all, filter);
  for (const auto& path : files_of(ops_folder, ".test")) collector.text_file(path);
  for (const auto& path : files_of(own_folder, ".test")) collector.text_file(path);
  for (const auto& path : files_of(own_folder, ".ir")) collector.graph_file(path);
  return all;
}

}  // namespace carnot::test
