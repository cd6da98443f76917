// SPDX-License-Identifier: Apache-2.0
#include "paths.hpp"

#include "text_case.hpp"

namespace carnot::test {

namespace {
std::vector<Path>& table() {
  static std::vector<Path> paths{{"reference", run_reference}};
  return paths;
}

class TestEvalCtx final : public ops::EvalCtx {
 public:
  TestEvalCtx(std::vector<TensorView> inputs, size_t outputs)
      : inputs_(std::move(inputs)), views_(outputs), tensors_(outputs) {
    in = inputs_;
    out = views_;
  }
  Status allocate(size_t i, Dims dims) override {
    if (i >= views_.size()) return invalid("there is no output {}", i);
    if (views_[i].dtype == DType::kInvalid) return {};
    CARNOT_ASSIGN(const int64_t size, checked_size(dims));
    if (size > int64_t{1} << 32) return fail(Code::kOutOfMemory, "shape {} is too large", to_string(dims));
    tensors_[i] = make_tensor(views_[i].dtype, std::move(dims));
    views_[i] = tensors_[i]->view();
    return {};
  }
  Result<std::vector<TensorView>> run_body(size_t, std::span<const TensorView>) override {
    return invalid("operators with bodies cannot be written as text tests");
  }
  void want(size_t i, DType dtype) { views_[i].dtype = dtype; }
  std::vector<std::optional<Constant>> take() { return std::move(tensors_); }

 private:
  std::vector<TensorView> inputs_, views_;
  std::vector<std::optional<Constant>> tensors_;
};
}  // namespace

std::string& engine_device() {
  static std::string device = "cpu";
  return device;
}

std::map<std::string, std::set<std::string>>& ran_on() {
  static std::map<std::string, std::set<std::string>> operators;
  return operators;
}

bool add_path(Path path) {
  table().push_back(std::move(path));
  return true;
}

const std::vector<Path>& paths() { return table(); }

Result<std::vector<std::optional<Constant>>> run_reference(const ops::Operator& op,
                                                           const std::vector<PathInput>& inputs,
                                                           const std::vector<bool>& wanted) {
  std::vector<TensorView> views(inputs.size());
  std::vector<ops::ValueFacts> facts(inputs.size());
  std::vector<ops::InferCtx::Input> operands(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].tensor) continue;
    views[i] = inputs[i].tensor->view();
    facts[i] = {views[i].dtype, to_shape(views[i].dims)};
    operands[i] = {&facts[i], &views[i]};
  }
  int fresh = 0;
  ops::InferCtx infer(operands, wanted.size(),
                      [&](std::string_view) { return Dim::symbol(fmt::format("${}", fresh++)); });
  CARNOT_ASSIGN(ops::Facts inferred, op.infer(infer));
  if (inferred.size() < wanted.size())
    return fail(Code::kInternal, "{} of {} outputs were inferred", inferred.size(), wanted.size());
  TestEvalCtx eval(views, wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!wanted[i]) continue;
    eval.want(i, inferred[i].dtype);
    if (is_static(inferred[i].shape)) CARNOT_RETURN_IF_ERROR(eval.allocate(i, to_dims(inferred[i].shape)));
  }
  CARNOT_RETURN_IF_ERROR(op.evaluate(eval));
  auto out = eval.take();
  for (size_t i = 0; i < wanted.size(); ++i)
    if (wanted[i] && !out[i]) return fail(Code::kInternal, "output {} was never allocated", i);
  return out;
}

}  // namespace carnot::test
