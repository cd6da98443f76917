// SPDX-License-Identifier: Apache-2.0
#include "ir/interpret.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <new>
#include <random>
#include <set>
#include <unordered_map>

namespace carnot::ir {
namespace {

constexpr int64_t kMaxTensorBytes = int64_t{1} << 36;

class NodeEval final : public ops::EvalCtx {
 public:
  NodeEval(const Node& node, std::span<const TensorView> inputs)
      : node_(node), results_(node.outputs.size()), views_(node.outputs.size()), body_results_(node.bodies.size()) {
    in = inputs;
    out = views_;
  }

  Result<std::vector<Constant>> run() {
    CARNOT_RETURN_IF_ERROR(prepare());
    CARNOT_RETURN_IF_ERROR(node_.op.evaluate(*this));
    for (size_t i = 0; i < results_.size(); ++i)
      if (!results_[i].data) return fail(Code::kInternal, "operator '{}' left output {} without memory", node_.op.name(), i);
    return std::move(results_);
  }

  Status allocate(size_t i, Dims dims) override {
    if (i >= views_.size()) return {};
    if (results_[i].data && views_[i].dims == dims) return {};
    CARNOT_ASSIGN(const int64_t size, checked_size(dims));
    if (size > kMaxTensorBytes / 8) return fail(Code::kOutOfMemory, "output {} of shape {} is too large", i, to_string(dims));
    try {
      results_[i] = Constant::allocate(views_[i].dtype, std::move(dims));
    } catch (const std::bad_alloc&) {
      return fail(Code::kOutOfMemory, "no memory for output {}", i);
    }
    views_[i] = results_[i].view();
    return {};
  }

  Result<std::vector<TensorView>> run_body(size_t k, std::span<const TensorView> inputs) override {
    if (k >= node_.bodies.size()) return fail(Code::kInternal, "body {} is missing", k);
    // Inputs may be views of the last results of this body (loops), so those live until the new ones are there.
    CARNOT_ASSIGN(std::vector<Constant> results, interpret(*node_.bodies[k], inputs));
    body_results_[k] = std::move(results);
    std::vector<TensorView> views;
    for (const Constant& c : body_results_[k]) views.push_back(c.view());
    return views;
  }

 private:
  Status prepare() {
    // Control flow and groups find their shapes by running their bodies.
    if (!node_.bodies.empty()) {
      for (size_t i = 0; i < views_.size(); ++i) views_[i].dtype = node_.outputs[i]->dtype();
      return {};
    }
    std::vector<ops::ValueFacts> facts(in.size());
    std::vector<ops::InferCtx::Input> inputs(in.size());
    for (size_t i = 0; i < in.size(); ++i) {
      if (in[i].dtype == DType::kInvalid) continue;
      facts[i] = {in[i].dtype, to_shape(in[i].dims)};
      inputs[i] = {&facts[i], &in[i]};
    }
    int64_t next = 0;
    ops::InferCtx ctx(inputs, views_.size(), [&](std::string_view) { return Dim::symbol(fmt::format("$run{}", next++)); });
    CARNOT_ASSIGN(const ops::Facts inferred, node_.op.infer(ctx));
    if (inferred.size() < views_.size()) return fail(Code::kInternal, "operator '{}' inferred {} outputs of {}", node_.op.name(), inferred.size(), views_.size());
    for (size_t i = 0; i < views_.size(); ++i) {
      views_[i].dtype = inferred[i].dtype;
      if (is_static(inferred[i].shape)) CARNOT_RETURN_IF_ERROR(allocate(i, to_dims(inferred[i].shape)));
    }
    return {};
  }

  const Node& node_;
  std::vector<Constant> results_;
  std::vector<TensorView> views_;
  std::vector<std::vector<Constant>> body_results_;
};

}  // namespace

Result<std::vector<Constant>> interpret(const Node& node, std::span<const TensorView> inputs) {
  auto results = NodeEval(node, inputs).run();
  if (!results) return at(&node, std::move(results.error()));
  return results;
}

Result<std::vector<Constant>> interpret(const Graph& graph, std::span<const TensorView> inputs, const NodeObserver& observer) {
  if (inputs.size() != graph.inputs().size()) return invalid("graph '{}' takes {} inputs, got {}", graph.name, graph.inputs().size(), inputs.size());
  struct Slot {
    Constant tensor;
    size_t uses_left = 0;
  };
  std::unordered_map<const Value*, Slot> slots;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Value* v = graph.inputs()[i];
    if (inputs[i].dtype != v->dtype())
      return invalid("input '{}' of graph '{}' is {}, got {}", v->name, graph.name, dtype_name(v->dtype()), dtype_name(inputs[i].dtype));
    slots[v] = {Constant{inputs[i].dtype, inputs[i].dims, inputs[i].data, nullptr}, v->uses.size()};
  }
  auto view = [&](const Value* v) -> TensorView {
    if (!v) return {};
    if (v->constant) return v->constant->view();
    return slots.at(v).tensor.view();
  };
  for (const auto& node : graph.nodes()) {
    std::vector<TensorView> operands;
    for (const Value* v : node->inputs) operands.push_back(view(v));
    CARNOT_ASSIGN(std::vector<Constant> results, interpret(*node, operands));
    if (observer) CARNOT_RETURN_IF_ERROR(observer(*node, results));
    for (size_t i = 0; i < results.size(); ++i) {
      const Value* v = node->outputs[i];
      if (!v->uses.empty() || graph.is_output(v)) slots[v] = {std::move(results[i]), v->uses.size()};
    }
    // Frees what nobody needs any more: whole networks run through here.
    for (const Value* v : node->inputs) {
      if (!v || v->constant) continue;
      Slot& slot = slots.at(v);
      if (slot.uses_left > 0 && --slot.uses_left == 0 && !graph.is_output(v)) slot.tensor = {};
    }
  }
  std::vector<Constant> out;
  for (const Value* v : graph.outputs()) {
    Constant c = v->constant ? *v->constant : slots.at(v).tensor;
    // An input handed through belongs to the caller: give back a copy that lives by itself.
    if (!v->constant && !c.owner) c = Constant::copy_of(c.dtype, c.dims, c.data);
    out.push_back(std::move(c));
  }
  return out;
}

Result<std::vector<Constant>> random_inputs(const Graph& graph, uint32_t seed) {
  std::map<std::string, int64_t, std::less<>> symbols;
  std::mt19937 random(seed);
  std::vector<Constant> out;
  for (const Value* v : graph.inputs()) {
    Dims dims;
    for (const Dim& d : v->shape()) {
      std::set<std::string> names;
      d.collect_symbols(names);
      for (const std::string& s : names) symbols.emplace(s, 2 + static_cast<int64_t>(symbols.size()));
      CARNOT_ASSIGN(const int64_t n, d.eval(symbols));
      dims.push_back(n);
    }
    CARNOT_ASSIGN(const int64_t size, checked_size(dims));
    if (size > (int64_t{1} << 28) || dtype_size(v->dtype()) == 0) return invalid("input '{}' is too large for a trial, or no numbers", v->name);
    Constant c = Constant::allocate(v->dtype(), dims);
    dispatch_dtype(v->dtype(), [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (int64_t i = 0; i < size; ++i) {
        T& x = static_cast<T*>(c.mutable_data())[i];
        if constexpr (std::is_same_v<T, bool> || std::is_integral_v<T>)
          x = static_cast<T>(random() % 2);
        else
          x = T(static_cast<float>(random() % 20001) / 10000.0f - 1.0f);
      }
    });
    out.push_back(std::move(c));
  }
  return out;
}

std::string difference(std::span<const Constant> a, std::span<const Constant> b) {
  if (a.size() != b.size()) return fmt::format("{} results became {}", a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].dtype != b[i].dtype) return fmt::format("result {}: {} became {}", i, dtype_name(a[i].dtype), dtype_name(b[i].dtype));
    if (a[i].dims != b[i].dims) return fmt::format("result {}: shape {} became {}", i, to_string(a[i].dims), to_string(b[i].dims));
    auto x = to_doubles(a[i].view()), y = to_doubles(b[i].view());
    if (!x || !y) continue;
    double range = 1;
    for (double d : *x)
      if (std::isfinite(d)) range = std::max(range, std::abs(d));
    const double tolerance = a[i].dtype == DType::kF32 || a[i].dtype == DType::kF64 ? 1e-5 : is_float(a[i].dtype) ? 1e-2 : 0;
    for (size_t k = 0; k < x->size(); ++k) {
      const double p = (*x)[k], q = (*y)[k];
      if (p == q || (std::isnan(p) && std::isnan(q)) || std::abs(p - q) <= tolerance * range) continue;
      return fmt::format("result {}, element {}: {} became {}", i, k, p, q);
    }
  }
  return "";
}

}  // namespace carnot::ir
