// SPDX-License-Identifier: Apache-2.0
#include "tactics/cuda/support_kernel.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "tactics/cuda/support_text.hpp"

namespace carnot::tactics::cuda {

std::string storage_type(DType dtype) {
  switch (dtype) {
    case DType::kF32: return "float";
    case DType::kF64: return "double";
    case DType::kF16: return "f16";
    case DType::kBF16: return "bf16";
    case DType::kU8: return "unsigned char";
    case DType::kI8: return "signed char";
    case DType::kU16: return "unsigned short";
    case DType::kI16: return "short";
    case DType::kI32: return "int";
    case DType::kI64: return "long long";
    case DType::kU32: return "unsigned";
    case DType::kU64: return "unsigned long long";
    case DType::kBool: return "b8";
    default: return "";
  }
}

std::string compute_type(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16: return "float";
    case DType::kF64: return "double";
    case DType::kI64:
    case DType::kU32: return "long long";
    case DType::kU64: return "unsigned long long";
    default: return "int";
  }
}

std::string bytes_type(DType dtype) {
  switch (dtype_size(dtype)) {
    case 1: return "unsigned char";
    case 2: return "unsigned short";
    case 4: return "unsigned";
    default: return "unsigned long long";
  }
}

std::string literal(double value, std::string_view type) {
  if (type != "float" && type != "double") return fmt::format("({}){}", type, literal(static_cast<int64_t>(value)));
  if (std::isnan(value)) return fmt::format("({})NAN", type);
  if (std::isinf(value)) return fmt::format("({}){}INFINITY", type, value < 0 ? "-" : "");
  std::string text = type == "float" ? fmt::format("{}", static_cast<float>(value)) : fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return type == "float" ? text + "f" : text;
}

void Kernel::input(std::string_view name, size_t i, std::string_view type) {
  const ir::Value* v = problem_.node.in(i);
  operands_.push_back(v ? tactics::Operand::of(i) : tactics::Operand::absent());
  inputs_.push_back({std::string(name), !type.empty() ? std::string(type) : v ? storage_type(v->dtype()) : "char", v ? &v->shape() : nullptr});
}

void Kernel::packed(std::string_view name, Constant constant) {
  inputs_.push_back({std::string(name), storage_type(constant.dtype), nullptr});
  largest(constant.size());
  operands_.push_back(tactics::Operand::packed(std::move(constant)));
}

void Kernel::output(std::string_view name, std::string_view type) {
  const ir::Value* v = problem_.node.out(outputs_.size());
  outputs_.push_back({std::string(name), type.empty() ? storage_type(v->dtype()) : std::string(type), &v->shape()});
}

std::string Kernel::dim_name(bool output, size_t operand, size_t axis) const { return fmt::format("{}{}d{}", output ? 'o' : 'i', operand, axis); }

Dim Kernel::dim(const Dim& d) {
  if (d.is_constant()) return d;
  std::map<std::string, Dim, std::less<>> symbols;
  for (const bool output : {false, true}) {
    const std::vector<Operand>& operands = output ? outputs_ : inputs_;
    for (size_t k = 0; k < operands.size(); ++k) {
      if (!operands[k].shape) continue;
      for (size_t a = 0; a < operands[k].shape->size(); ++a) {
        const Dim& known = (*operands[k].shape)[a];
        if (known == d) return Dim::symbol(dim_name(output, k, a));
        if (auto symbol = known.as_symbol()) symbols.emplace(*symbol, Dim::symbol(dim_name(output, k, a)));
      }
    }
  }
  std::set<std::string> needed;
  d.collect_symbols(needed);
  for (const std::string& symbol : needed) fails_ = fails_ || !symbols.count(symbol);
  return fails_ ? Dim(1) : d.substitute(symbols);
}

Shape Kernel::shape(const Shape& s) {
  Shape out;
  for (const Dim& d : s) out.push_back(dim(d));
  return out;
}

std::string Kernel::value(const Dim& d) {
  if (d.is_constant()) return literal(d.value());
  const std::string text = d.str();
  auto it = std::find(scalars_.begin(), scalars_.end(), text);
  if (it == scalars_.end()) it = scalars_.insert(it, text);
  return fmt::format("d{}", it - scalars_.begin());
}

void Kernel::helper(std::string_view name, std::string text) {
  for (const auto& [known, _] : helpers_)
    if (known == name) return;
  helpers_.emplace_back(name, std::move(text));
}

namespace {
std::string hash_text(const std::string& text) {
  uint64_t h = 14695981039346656037ull;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return fmt::format("{:016x}", h);
}
}  // namespace

Result<Candidate> Kernel::finish(std::string_view family, const Grid& grid) {
  if (outputs_.size() != problem_.node.outputs.size()) return fail(Code::kInternal, "a kernel declares {} of {} outputs", outputs_.size(), problem_.node.outputs.size());
  // Where all sizes are numbers the type of indices is known; else the entry chooses. Some room is left for threads beyond the end.
  constexpr int64_t kLimit = (int64_t{1} << 31) - (int64_t{1} << 22);
  std::vector<Dim> counts{1};
  for (const auto* operands : {&inputs_, &outputs_})
    for (const Operand& o : *operands)
      if (o.shape) counts.push_back(size_of(shape(*o.shape)));
  counts.insert(counts.end(), sizes_.begin(), sizes_.end());
  const Dim most = greatest(std::move(counts));
  const bool chooses = !most.is_constant();
  const std::string limit = chooses ? value(most) : "";
  if (fails_) return fail(Code::kInternal, "a dim that no operand tells");
  const size_t given = inputs_.size() + outputs_.size() + scalars_.size() + (grid.workspace.is(0) ? 0 : 1) + (complains_ ? 1 : 0);
  if (given > kMostArguments) return fail(Code::kUnsupported, "{} arguments, a launch takes {}", given, kMostArguments);

  std::string parameters, arguments;
  auto add = [&](const std::string& type, const std::string& name) {
    parameters += fmt::format("{}{}{}", parameters.empty() ? "" : ", ", type, name);
    arguments += fmt::format("{}{}", arguments.empty() ? "" : ", ", name);
  };
  const std::string restricted = in_place_ ? "" : "__restrict__ ";
  for (const Operand& o : inputs_) add(fmt::format("const {}* {}", o.type, restricted), o.name);
  for (const Operand& o : outputs_) add(fmt::format("{}* {}", o.type, restricted), o.name);
  const bool workspace = !grid.workspace.is(0);
  if (workspace) add("char* ", "workspace");
  if (complains_) add("long long* ", "complaint");
  for (size_t i = 0; i < scalars_.size(); ++i) add("const long long ", fmt::format("s{}", i));

  std::string text(text_of_types());
  for (const auto& [_, helper] : helpers_) text += helper;
  text += chooses ? "template <typename I>\n" : fmt::format("typedef {} I;\n", most.value() < kLimit ? "int" : "long long");
  text += fmt::format("static __device__ __forceinline__ void body({}) {{\n", parameters);
  for (size_t i = 0; i < scalars_.size(); ++i) text += fmt::format("  const I d{} = (I)s{};\n", i, i);
  text += body + "}\n";
  text += fmt::format("extern \"C\" __global__ void __launch_bounds__({}) ENTRY({}) {{\n", grid.threads * grid.threads_y, parameters);
  if (chooses)
    text += fmt::format("  if (s{} < {}LL) body<int>({}); else body<long long>({});\n}}\n", limit.substr(1), kLimit, arguments, arguments);
  else
    text += fmt::format("  body({});\n}}\n", arguments);

  Candidate c;
  c.kernel = "cuda.launch";
  const std::string entry = fmt::format("carnot_{}_{}", family, hash_text(text));
  text.replace(text.rfind("ENTRY("), 5, entry);
  c.code = std::move(text);
  c.params = {{"entry", entry},
              {"grid", std::vector<std::string>{grid.x.str(), grid.y.str(), grid.z.str()}},
              {"block", std::vector<int64_t>{grid.threads, grid.threads_y, 1}},
              {"shared", std::string("0")},
              {"scalars", scalars_}};
  if (workspace) c.params.emplace_back("workspace", grid.workspace.str());
  if (complains_) c.params.emplace_back("complains", int64_t{1});
  c.inputs = operands_;
  c.note = std::string(family);
  c.in_place = in_place_;
  return c;
}

Dim greatest(std::vector<Dim> dims) {
  for (; dims.size() > 1; dims.resize((dims.size() + 1) / 2))
    for (size_t i = 0; i < dims.size(); i += 2) dims[i / 2] = i + 1 < dims.size() ? Dim::max(dims[i], dims[i + 1]) : dims[i];
  return dims.empty() ? Dim(0) : dims[0];
}

Shape strides_of(const Shape& shape) {
  Shape strides(shape.size(), Dim(1));
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

Shape broadcast_strides(const Shape& operand, const Shape& to) {
  const Shape own = strides_of(operand);
  Shape strides(to.size(), Dim(0));
  for (size_t i = 0; i < operand.size(); ++i) {
    const size_t at = to.size() - operand.size() + i;
    if (operand[i].is(1)) continue;
    const bool same = operand[i] == to[at] || operand[i].is_constant();
    strides[at] = same ? own[i] : own[i] * Dim::min(operand[i] - 1, 1);
  }
  return strides;
}

void Space::collapse() {
  for (size_t a = sizes.size(); a-- > 0;) {
    const bool one = sizes[a].is(1);
    // Joined with the axis behind it.
    const bool joins = !one && a + 1 < sizes.size() && std::all_of(strides.begin(), strides.end(), [&](const Shape& s) { return s[a] == s[a + 1] * sizes[a + 1]; });
    if (!one && !joins) continue;
    if (joins) sizes[a + 1] = sizes[a] * sizes[a + 1];
    sizes.erase(sizes.begin() + static_cast<std::ptrdiff_t>(a));
    for (Shape& s : strides) s.erase(s.begin() + static_cast<std::ptrdiff_t>(a));
  }
}

std::string unravel(Kernel& k, std::string_view index, const Shape& sizes, std::string_view prefix) {
  if (sizes.empty()) return "";
  std::string text, rest(index);
  for (size_t a = sizes.size(); a-- > 1;) {
    const std::string size = k.value(sizes[a]), next = fmt::format("{}q{}", prefix, a);
    text += fmt::format("  const I {} = quotient<I>({}, {});\n  const I {}{} = {} - {} * {};\n", next, rest, size, prefix, a, rest, next, size);
    rest = next;
  }
  return text + fmt::format("  const I {}0 = {};\n", prefix, rest);
}

std::string dot(Kernel& k, std::string_view prefix, const Shape& strides) {
  std::string text;
  for (size_t a = 0; a < strides.size(); ++a) {
    if (strides[a].is(0)) continue;
    text += fmt::format("{}{}{}{}", text.empty() ? "" : " + ", prefix, a, strides[a].is(1) ? "" : " * " + k.value(strides[a]));
  }
  return text.empty() ? "(I)0" : text;
}

}  // namespace carnot::tactics::cuda
