// SPDX-License-Identifier: Apache-2.0
// Loop and Scan: the body takes all outer values that it uses as further inputs. Import folds what it knows, so the body is imported
// again as long as its own results show that a carried value does not keep its shape.
#include <algorithm>
#include <numeric>

#include "importers/onnx/node.hpp"

namespace carnot::onnx {
namespace {

bool only_written(const ir::Graph& body, size_t input) {
  const ir::Value* value = body.inputs()[input];
  return value->uses.empty() && std::find(body.outputs().begin(), body.outputs().end(), value) == body.outputs().end();
}

bool holds_one(const Shape& shape) {
  return std::all_of(shape.begin(), shape.end(), [](const Dim& d) { return d.is(1); });
}

// `value` with axes of 1 before its own, up to this rank.
Result<ir::Value*> with_rank(NodeContext& n, ir::Value* value, size_t rank) {
  if (value->rank() >= rank) return value;
  std::vector<int64_t> axes(rank - value->rank());
  std::iota(axes.begin(), axes.end(), 0);
  return n.emit1("unsqueeze", {value, n.ints(axes)});
}

// Body `attr` whose inputs first..first+count) come back as its outputs from `returned` on.
Result<Body> carried_body(NodeContext& n, std::string_view attr, ops::Facts& params, size_t first, size_t returned, size_t count) {
  for (size_t i = 0; i < count; ++i) params[first + i].values.reset();
  std::vector<std::vector<bool>> changes(count);
  for (;;) {
    CARNOT_ASSIGN(Body body, n.body(attr, params));
    const auto& outputs = body.graph->outputs();
    if (outputs.size() < returned + count) return invalid("the body has {} outputs, {} are needed", outputs.size(), returned + count);
    bool again = false;
    for (size_t i = 0; i < count; ++i) {
      Shape& in = params[first + i].shape;
      const Shape& out = outputs[returned + i]->shape();
      // A value that the body only writes has the rank that the body gives it; exporters begin with any number. So has one element.
      if (in.size() < out.size() && (only_written(*body.graph, first + i) || (holds_one(in) && holds_one(out)))) {
        while (in.size() < out.size()) in.insert(in.begin(), Dim(1));
        changes[i].assign(in.size(), false);
        again = true;
      }
      if (in.size() != out.size())
        return fail(Code::kUnsupported, "carried value {} has shape {} before and {} after a run of the body: ranks must agree", i, to_string(in),
                    to_string(out));
      changes[i].resize(in.size(), false);
      for (size_t d = 0; d < in.size(); ++d) {
        if (changes[i][d] || in[d] == out[d]) continue;
        changes[i][d] = again = true;
        in[d] = n.build().graph().fresh_dim("carried");
      }
    }
    if (!again) return body;
  }
}

Outputs add(NodeContext& n, std::string_view op, std::vector<ir::Value*> inputs, Body body, Attrs attrs) {
  for (ir::Value* v : NodeContext::merge_captures({&body, 1})) inputs.push_back(v);
  ir::Builder::Options options{.outputs = n.outputs()};
  options.bodies.push_back(std::move(body.graph));
  return n.build().add(op, std::move(inputs), attrs, std::move(options));
}

Outputs loop(NodeContext& n) {
  ops::Facts params{{DType::kI64, {}}, {DType::kBool, {}}};
  std::vector<ir::Value*> inputs{n.in(0), n.in(1)};
  for (size_t i = 2; i < n.inputs(); ++i) {
    if (!n.has(i)) return invalid("input {} is missing", i);
    params.push_back(n.in(i)->facts);
    inputs.push_back(n.in(i));
  }
  const size_t carried = inputs.size() - 2;
  CARNOT_ASSIGN(Body body, carried_body(n, "body", params, 2, 1, carried));
  for (size_t i = 2; i < inputs.size(); ++i) {
    CARNOT_ASSIGN(inputs[i], with_rank(n, inputs[i], params[i].shape.size()));
  }
  return add(n, "loop", std::move(inputs), std::move(body), {{"num_carried", static_cast<int64_t>(carried)}});
}

Outputs scan(NodeContext& n) {
  CARNOT_RETURN_IF_ERROR(n.need(n.inputs()));
  CARNOT_ASSIGN(const int64_t scanned, n.int_attr("num_scan_inputs", 0));
  CARNOT_ASSIGN(const std::vector<int64_t> axes, n.ints_attr("scan_input_axes"));
  CARNOT_ASSIGN(Attrs attrs, n.attrs({"body"}));
  if (scanned < 1 || scanned > static_cast<int64_t>(n.inputs())) return invalid("num_scan_inputs is {}, the node has {} inputs", scanned, n.inputs());
  const size_t states = n.inputs() - static_cast<size_t>(scanned);
  if (!axes.empty() && axes.size() != static_cast<size_t>(scanned)) return invalid("scan_input_axes has {} entries for {} scanned values", axes.size(), scanned);
  ops::Facts params;
  for (size_t i = 0; i < n.inputs(); ++i) {
    params.push_back(n.in(i)->facts);
    if (i < states) continue;
    Shape& slice = params.back().shape;
    CARNOT_ASSIGN(const int64_t axis, normalize_axis(axes.empty() ? 0 : axes[i - states], slice.size()));
    slice.erase(slice.begin() + axis);
    params.back().values.reset();
  }
  CARNOT_ASSIGN(Body body, carried_body(n, "body", params, 0, 0, states));
  attrs.emplace_back("num_state", static_cast<int64_t>(states));
  return add(n, "scan", n.all_inputs(), std::move(body), std::move(attrs));
}

}  // namespace

CARNOT_CONVERTERS(convert_loop, {"Loop", 1, kLatest, loop}, {"Scan", 9, kLatest, scan})

}  // namespace carnot::onnx
