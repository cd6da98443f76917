// SPDX-License-Identifier: Apache-2.0
// The operator as a graph of one node, compiled to engine bytes, loaded again and run through the C ABI: whatever
// kernel the compiler chose, after save and load. Twice: with static dims and all operands but the first known to the
// compiler (weights), and with every dim a symbol and only small vectors known.
#include "carnot/carnot.hpp"
#include "compiler/compile.hpp"
#include "paths.hpp"
#include "text_case.hpp"

namespace carnot::test {
namespace {

using Outputs = Result<std::vector<std::optional<Constant>>>;

// What an engine cannot be asked: strings have no C type, random numbers differ each time, and a graph without inputs
// is a constant.
bool out_of_reach(const ops::Operator& op, const std::vector<PathInput>& inputs) {
  if (!op.info().pure || op.info().bodies > 0 || inputs.empty() || !inputs[0].tensor) return true;
  for (const PathInput& in : inputs)
    if (in.tensor && in.tensor->dtype == DType::kString) return true;
  return false;
}

Outputs run_engine(const ops::Operator& op, const std::vector<PathInput>& inputs, const std::vector<bool>& wanted,
                   bool symbolic) {
  auto expected = run_reference(op, inputs, wanted);
  if (!expected || out_of_reach(op, inputs)) return expected;
  for (const auto& out : *expected)
    if (out && out->dtype == DType::kString) return expected;

  auto graph = std::make_unique<ir::Graph>();
  std::vector<ir::Value*> operands(inputs.size(), nullptr);
  std::vector<size_t> fed;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].tensor) continue;
    const Constant& tensor = *inputs[i].tensor;
    const bool parameter = tensor.dims.size() <= 1 && tensor.size() <= 16;
    if (i > 0 && (!symbolic || parameter)) {
      operands[i] = graph->add_constant(tensor);
      continue;
    }
    Shape shape = to_shape(tensor.dims);
    for (size_t d = 0; symbolic && d < shape.size(); ++d)
      if (tensor.dims[d] != 0) shape[d] = Dim::symbol(fmt::format("d{}_{}", i, d));
    operands[i] = graph->add_input(fmt::format("i{}", i), tensor.dtype, shape);
    fed.push_back(i);
  }
  ir::Graph::NodeOptions options;
  options.where = {"node", std::string(op.name())};
  options.outputs = wanted.size();
  auto added = graph->add(op, operands, std::move(options));
  if (!added && symbolic) return expected;  // the rank of the result follows from data that only the run has
  if (!added) return added.error();
  ir::Node* node = *added;
  std::vector<ir::Value*> outputs;
  std::vector<std::string> names;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i]) continue;
    outputs.push_back(node->outputs[i]);
    names.push_back(fmt::format("o{}", i));
  }
  if (outputs.empty()) return expected;
  graph->set_outputs(outputs, names);
  CARNOT_ASSIGN(const std::vector<std::byte> bytes, compiler::compile(std::move(graph), {.device = engine_device()}));

  std::vector<std::optional<Constant>> results(wanted.size());
  try {
    const Engine engine = Engine::load(bytes.data(), bytes.size());
    Session session(engine, {.threads = 2});
    for (size_t i : fed) {
      const Constant& t = *inputs[i].tensor;
      session.set_input(fmt::format("i{}", i),
                        TensorRef(static_cast<carnot_dtype>(t.dtype), t.dims, const_cast<void*>(t.data)));
    }
    const bool device = engine_device() != "cpu";
    for (int run = 0; run < (device ? 3 : 1); ++run) session.run();
    if (device) ran_on()[engine.describe_json().find("\"kernel\":\"" + engine_device().substr(0, engine_device().find(':')) + ".") == std::string::npos ? "cpu" : engine_device()].insert(std::string(op.name()));
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (!wanted[i]) continue;
      const TensorRef out = session.output(fmt::format("o{}", i));
      results[i] = Constant::copy_of(static_cast<DType>(out.dtype()), out.dims(), out.raw());
    }
  } catch (const Exception& e) {
    return invalid("{}", e.what());
  }
  return results;
}

const bool kStatic =
    add_path({"engine",
              [](const auto& op, const auto& in, const auto& wanted) { return run_engine(op, in, wanted, false); }, 2});
const bool kSymbolic =
    add_path({"engine with symbolic dims",
              [](const auto& op, const auto& in, const auto& wanted) { return run_engine(op, in, wanted, true); }, 2});

}  // namespace
}  // namespace carnot::test
