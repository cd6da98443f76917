// SPDX-License-Identifier: Apache-2.0
#include "tactics/cuda/support_expression.hpp"

#include <limits>

#include "ops/cast.hpp"
#include "ops/pointwise.hpp"
#include "tactics/cuda/support_text.hpp"

namespace carnot::tactics::cuda {
namespace {

// A literal keeps 64-bit integers exact.
std::optional<std::string> literal_of(const Constant& c) {
  const std::string type = compute_type(c.dtype);
  if (is_float(c.dtype)) {
    const auto values = to_doubles(c.view());
    return values ? std::optional(literal(values->front(), type)) : std::nullopt;
  }
  const auto values = to_int64s(c.view());
  if (!values) return std::nullopt;
  if (values->front() == std::numeric_limits<int64_t>::min()) return fmt::format("({})(-9223372036854775807LL - 1)", type);
  return fmt::format("({}){}", type, literal(values->front()));
}

// f(x, a) as a function of T, once for each row, type and pair of parameters.
std::string call(Kernel& kernel, const ops::PointwiseCall& call, const std::string& type, const std::vector<std::string>& args) {
  const PointwiseRow& row = pointwise_row(call.op);
  const char* names[] = {"a", "b", "c"};
  std::string parameters;
  for (size_t i = 0; i < args.size(); ++i) parameters += fmt::format("{}const T {}", i ? ", " : "", args.size() == 1 ? "x" : names[i]);
  std::string text = fmt::format("typedef {} T;\n", type);
  if (!row.alpha_name.empty()) text += fmt::format("  const T alpha = {};\n", literal(call.alpha, type));
  if (!row.beta_name.empty()) text += fmt::format("  const T beta = {};\n", literal(call.beta, type));
  const std::string body = fmt::format("({}) {{\n  {}  return {};\n}}\n", parameters, text, row.text);
  std::string name = fmt::format("{}_{}", row.name, type);
  if (!row.alpha_name.empty()) name += "_" + literal(call.alpha, type);
  if (!row.beta_name.empty()) name += "_" + literal(call.beta, type);
  for (char& c : name) c = c == '-' ? 'm' : std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  // `T` in the parameters is that of the body's first line.
  std::string typed = body;
  for (size_t at = 0; (at = typed.find("const T ", at)) != std::string::npos && at < typed.find('{');) typed.replace(at, 8, fmt::format("const {} ", type));
  kernel.helper(name, fmt::format("namespace pw {{ static __device__ __forceinline__ {} {}{}}}\n", row.gives_bool ? "int" : type, "f_" + name, typed));
  std::string list;
  for (const std::string& a : args) list += (list.empty() ? "" : ", ") + a;
  return fmt::format("pw::f_{}({})", name, list);
}

}  // namespace

Refusal refuses_step(const ir::Node& node) {
  for (const ir::Value* v : node.inputs)
    if (v && storage_type(v->dtype()).empty()) return fmt::format("dtype {}", dtype_name(v->dtype()));
  if (node.outputs.size() != 1 || storage_type(node.out()->dtype()).empty()) return "dtype of the result";
  if (node.as<ops::Cast>()) return {};
  const auto call = ops::pointwise_call(node.op);
  if (!call) return "other operator";
  const PointwiseRow& row = pointwise_row(call->op);
  for (int i = 0; i < row.arity; ++i)
    if (!node.has(static_cast<size_t>(i)) && call->op != PointwiseOp::kClip) return "an absent operand";
  if (call->op == PointwiseOp::kPow && is_float(node.in(0)->dtype()) != is_float(node.in(1)->dtype())) return "pow of an integer and a float";
  return {};
}

bool Expression::knows(const ir::Value* v) {
  if (variables_.count(v)) return true;
  if (!v->constant || v->constant->size() != 1) return false;
  auto text = literal_of(*v->constant);
  if (!text) return false;
  bind(v, std::move(*text));
  return true;
}

Refusal Expression::add(const ir::Node& node) {
  if (Refusal r = refuses_step(node); !r.empty()) return r;
  for (const ir::Value* v : node.inputs)
    if (v && !knows(v)) return "an operand from elsewhere";
  kernel_.helper("pointwise", std::string(text_of_pointwise()));
  const DType to = node.out()->dtype();
  const std::string type = compute_type(to);
  std::string value;
  if (node.as<ops::Cast>()) {
    const DType from = node.in(0)->dtype();
    const std::string& x = variable(node.in(0));
    if (to == DType::kBool) value = fmt::format("({} != ({})0)", x, compute_type(from));
    else if (!is_integer(to)) value = to == DType::kF16 || to == DType::kBF16 ? fmt::format("up(down<{}>((float){}))", storage_type(to), x) : fmt::format("({}){}", type, x);
    else if (!is_float(from)) value = fmt::format("({})up(({}){})", type, storage_type(to), x);
    else value = fmt::format("({})up(({})pw::{}({}))", type, storage_type(to), to == DType::kU64 ? "to_u64" : "to_i64", x);
  } else {
    ops::PointwiseCall call_of = *ops::pointwise_call(node.op);
    const PointwiseRow& row = pointwise_row(call_of.op);
    // The type that is computed in is that of the operands; a condition's is its own.
    const size_t lead = call_of.op == PointwiseOp::kWhere ? 1 : 0;
    const DType in = node.in(lead)->dtype();
    const std::string compute = compute_type(in);
    std::vector<std::string> args;
    for (size_t i = 0; i < static_cast<size_t>(row.arity); ++i) {
      if (!node.has(i)) {  // an absent bound of clip: the other operand of min and max
        args.push_back(args[0]);
        continue;
      }
      const std::string& x = variable(node.in(i));
      args.push_back(compute_type(node.in(i)->dtype()) == compute ? x : fmt::format("({}){}", compute, x));
    }
    if (call_of.op == PointwiseOp::kWhere) value = fmt::format("({} != 0 ? {} : {})", variable(node.in(0)), args[1], args[2]);
    else if (call_of.op == PointwiseOp::kClip && !(node.has(1) && node.has(2))) {
      value = node.has(1) ? call(kernel_, {PointwiseOp::kMax}, compute, {args[0], args[1]}) : node.has(2) ? call(kernel_, {PointwiseOp::kMin}, compute, {args[0], args[2]}) : args[0];
    } else {
      value = call(kernel_, call_of, compute, args);
    }
    // Integers are computed in wider types: what grew is cut before anything else reads it.
    if (is_integer(to) && dtype_size(to) < 8 && to != DType::kI32) value = fmt::format("up(({}){})", storage_type(to), value);
  }
  const std::string name = fmt::format("t{}", steps_++);
  text += fmt::format("  const {} {} = {};\n", type, name, value);
  bind(node.out(), name);
  return {};
}

}  // namespace carnot::tactics::cuda
