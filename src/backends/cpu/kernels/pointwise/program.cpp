// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/pointwise/program.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace carnot::cpu {

std::optional<Lane> lane_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16: return Lane::kF32;
    case DType::kI32:
    case DType::kI8:
    case DType::kU8:
    case DType::kI16:
    case DType::kU16: return Lane::kI32;
    case DType::kI64:
    case DType::kU32: return Lane::kI64;
    case DType::kBool: return Lane::kBool;
    default: return std::nullopt;
  }
}

PointwiseOperand PointwiseProgram::add_input(DType dtype) {
  inputs.push_back(dtype);
  return {PointwiseOperand::kInput, static_cast<uint16_t>(inputs.size() - 1)};
}
PointwiseOperand PointwiseProgram::add_immediate(double value) {
  for (size_t i = 0; i < immediates.size(); ++i)
    if (immediates[i].dtype == DType::kF32 && immediates[i].number == value && std::signbit(immediates[i].number) == std::signbit(value))
      return {PointwiseOperand::kImmediate, static_cast<uint16_t>(i)};
  immediates.push_back({DType::kF32, value, 0});
  return {PointwiseOperand::kImmediate, static_cast<uint16_t>(immediates.size() - 1)};
}
PointwiseOperand PointwiseProgram::add_immediate(DType dtype, int64_t value) {
  immediates.push_back({dtype, static_cast<double>(value), value});
  return {PointwiseOperand::kImmediate, static_cast<uint16_t>(immediates.size() - 1)};
}
PointwiseOperand PointwiseProgram::add(PointwiseOp op, PointwiseOperand a, PointwiseOperand b, PointwiseOperand c, double alpha, double beta) {
  PointwiseInstr instr{.op = op, .in = {a, b, c}, .alpha = static_cast<float>(alpha), .beta = static_cast<float>(beta)};
  code.push_back(instr);
  return {PointwiseOperand::kResult, static_cast<uint16_t>(code.size() - 1)};
}
PointwiseOperand PointwiseProgram::add_cast(DType to, PointwiseOperand a) {
  code.push_back({.cast = to, .in = {a}});
  return {PointwiseOperand::kResult, static_cast<uint16_t>(code.size() - 1)};
}
void PointwiseProgram::add_output(DType dtype, PointwiseOperand value) { outputs.push_back({dtype, value}); }

Lane PointwiseProgram::lane(PointwiseOperand operand) const {
  if (operand.kind == PointwiseOperand::kInput) return *lane_of(inputs[operand.index]);
  if (operand.kind == PointwiseOperand::kImmediate) return *lane_of(immediates[operand.index].dtype);
  return code[operand.index].result;
}

namespace {
int arity_of(const PointwiseInstr& instr) { return instr.cast != DType::kInvalid ? 1 : pointwise_row(instr.op).arity; }

bool admits(int types, Lane lane) {
  if (lane == Lane::kF32) return types & kPointwiseFloats;
  if (lane == Lane::kBool) return types & kPointwiseBools;
  return types & kPointwiseIntegers;
}
// Whether an instruction's result can be stored as it lies in its register.
bool is_native(DType dtype) { return dtype == DType::kF32 || dtype == DType::kI32 || dtype == DType::kI64; }
}  // namespace

Status PointwiseProgram::verify() {
  if (inputs.size() > kMaxInputs) return invalid("pointwise program: more than {} inputs", kMaxInputs);
  if (immediates.size() > kMaxImmediates) return invalid("pointwise program: more than {} immediates", kMaxImmediates);
  if (code.size() > kMaxInstrs) return invalid("pointwise program: more than {} instructions", kMaxInstrs);
  if (outputs.empty() || outputs.size() > kMaxOutputs) return invalid("pointwise program: needs 1 to {} outputs", kMaxOutputs);
  slot_bytes_ = 4;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto lane = lane_of(inputs[i]);
    if (!lane) return invalid("pointwise program: input {} may not be {}", i, dtype_name(inputs[i]));
    slot_bytes_ = std::max(slot_bytes_, lane_bytes(*lane));
  }
  for (const PointwiseImmediate& imm : immediates) {
    if (!is_native(imm.dtype) && imm.dtype != DType::kBool) return invalid("pointwise program: an immediate may not be {}", dtype_name(imm.dtype));
    slot_bytes_ = std::max(slot_bytes_, lane_bytes(*lane_of(imm.dtype)));
  }
  std::vector<size_t> last_use(code.size(), 0);
  size_t last_input_use = 0;  // one past the last instruction that reads memory
  auto check = [&](PointwiseOperand o, size_t at) -> Status {
    const size_t limit = o.kind == PointwiseOperand::kInput ? inputs.size() : o.kind == PointwiseOperand::kImmediate ? immediates.size() : at;
    if (o.index >= limit) return invalid("pointwise program: instruction {} names operand {}, which is not there", at, o.index);
    if (o.kind == PointwiseOperand::kResult) last_use[o.index] = at;
    return {};
  };
  for (size_t i = 0; i < code.size(); ++i) {
    PointwiseInstr& instr = code[i];
    for (int k = 0; k < arity_of(instr); ++k) {
      CARNOT_RETURN_IF_ERROR(check(instr.in[k], i));
      if (instr.in[k].kind == PointwiseOperand::kInput) last_input_use = i + 1;
    }
    if (instr.cast != DType::kInvalid) {
      const auto to = lane_of(instr.cast);
      if (!to) return invalid("pointwise program: instruction {} cannot cast to {}", i, dtype_name(instr.cast));
      instr.lane = lane(instr.in[0]);
      instr.result = *to;
    } else {
      const PointwiseRow& row = pointwise_row(instr.op);
      const bool where = instr.op == PointwiseOp::kWhere;
      instr.lane = lane(instr.in[where ? 1 : 0]);
      if (where && lane(instr.in[0]) != Lane::kBool) return invalid("pointwise program: instruction {} needs a bool condition", i);
      for (int k = where ? 2 : 1; k < row.arity; ++k)
        if (lane(instr.in[k]) != instr.lane) return invalid("pointwise program: instruction {} ({}) mixes types", i, row.name);
      if (!admits(row.types, instr.lane)) return invalid("pointwise program: instruction {} ({}) does not take this type", i, row.name);
      instr.result = row.gives_bool ? Lane::kBool : instr.lane;
    }
    slot_bytes_ = std::max(slot_bytes_, lane_bytes(instr.result));
    instr.slot = -1;
    instr.output = -1;
  }
  for (size_t j = 0; j < outputs.size(); ++j) {
    PointwiseOutput& out = outputs[j];
    CARNOT_RETURN_IF_ERROR(check(out.value, code.size()));
    const auto to = lane_of(out.dtype);
    if (!to || *to != lane(out.value)) return invalid("pointwise program: output {} cannot be stored as {}", j, dtype_name(out.dtype));
    // Straight to memory, unless an input that shares that memory (in-place use) is still to be read.
    out.direct = false;
    if (out.value.kind == PointwiseOperand::kResult && is_native(out.dtype) && out.value.index + size_t{1} >= last_input_use &&
        code[out.value.index].output < 0) {
      out.direct = true;
      code[out.value.index].output = static_cast<int>(j);
    }
  }
  // Registers of results: the first free one, given back after the last use. An instruction may write over its own operand if
  // both are equally wide: a wider result would overwrite what is still to be read.
  const int base = static_cast<int>(inputs.size() + immediates.size());
  std::vector<bool> busy;
  for (size_t i = 0; i < code.size(); ++i) {
    const auto give_back = [&](bool same_width) {
      for (int k = 0; k < arity_of(code[i]); ++k) {
        const PointwiseOperand o = code[i].in[k];
        if (o.kind != PointwiseOperand::kResult || last_use[o.index] != i || code[o.index].slot < 0) continue;
        if ((lane_bytes(code[o.index].result) == lane_bytes(code[i].result)) == same_width) busy[static_cast<size_t>(code[o.index].slot - base)] = false;
      }
    };
    give_back(true);
    if (code[i].output < 0) {
      size_t s = 0;
      while (s < busy.size() && busy[s]) ++s;
      if (s == busy.size()) busy.push_back(false);
      busy[s] = true;
      code[i].slot = base + static_cast<int>(s);
    }
    give_back(false);
    if (code[i].slot >= 0 && last_use[i] <= i) busy[static_cast<size_t>(code[i].slot - base)] = false;
  }
  slots_ = base + static_cast<int>(busy.size());
  if (slots_ > kMaxSlots) return invalid("pointwise program: needs {} registers, more than {}", slots_, kMaxSlots);
  return {};
}

namespace {
std::string print(PointwiseOperand o) { return fmt::format("{}{}", "$#%"[o.kind], o.index); }

// Splits at `separator`; pieces are trimmed.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  while (true) {
    const size_t at = text.find(separator);
    std::string_view piece = text.substr(0, at);
    while (!piece.empty() && piece.front() == ' ') piece.remove_prefix(1);
    while (!piece.empty() && piece.back() == ' ') piece.remove_suffix(1);
    out.push_back(piece);
    if (at == std::string_view::npos) return out;
    text.remove_prefix(at + 1);
  }
}

Result<double> parse_number(std::string_view text) {
  const std::string copy(text);
  char* end = nullptr;
  const double value = std::strtod(copy.c_str(), &end);
  if (copy.empty() || end != copy.c_str() + copy.size()) return invalid("pointwise program: '{}' is no number", text);
  return value;
}

Result<PointwiseOperand> parse_operand(std::string_view text) {
  PointwiseOperand o;
  const size_t kind = text.empty() ? std::string_view::npos : std::string_view("$#%").find(text[0]);
  if (kind == std::string_view::npos) return invalid("pointwise program: '{}' is no operand", text);
  o.kind = static_cast<PointwiseOperand::Kind>(kind);
  auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), o.index);
  if (error != std::errc() || end != text.data() + text.size()) return invalid("pointwise program: '{}' is no operand", text);
  return o;
}

Result<DType> parse_type(std::string_view text) {
  if (auto dtype = parse_dtype(text)) return *dtype;
  return invalid("pointwise program: '{}' is no type", text);
}

// "TYPE:REST"
Result<std::pair<DType, std::string_view>> parse_typed(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos) return invalid("pointwise program: '{}' lacks its type", text);
  CARNOT_ASSIGN(const DType dtype, parse_type(text.substr(0, colon)));
  return std::pair(dtype, text.substr(colon + 1));
}
}  // namespace

Result<PointwiseProgram> PointwiseProgram::parse(std::string_view text) {
  if (text.size() > 65536) return invalid("pointwise program: the text is too long");
  PointwiseProgram p;
  for (std::string_view statement : split(text, ';')) {
    const size_t space = statement.find(' ');
    const std::string_view word = statement.substr(0, space);
    const std::string_view rest = space == std::string_view::npos ? "" : statement.substr(space + 1);
    if (word == "in") {
      for (std::string_view type : split(rest, ',')) {
        CARNOT_ASSIGN(const DType dtype, parse_type(type));
        p.inputs.push_back(dtype);
      }
    } else if (word == "imm") {
      for (std::string_view one : split(rest, ',')) {
        CARNOT_ASSIGN(const auto typed, parse_typed(one));
        PointwiseImmediate imm{typed.first};
        if (imm.dtype == DType::kF32) {
          CARNOT_ASSIGN(imm.number, parse_number(typed.second));
        } else {
          auto [end, error] = std::from_chars(typed.second.data(), typed.second.data() + typed.second.size(), imm.integer);
          if (error != std::errc() || end != typed.second.data() + typed.second.size())
            return invalid("pointwise program: '{}' is no integer", typed.second);
          imm.number = static_cast<double>(imm.integer);
        }
        p.immediates.push_back(imm);
      }
    } else if (word == "out") {
      for (std::string_view one : split(rest, ',')) {
        CARNOT_ASSIGN(const auto typed, parse_typed(one));
        CARNOT_ASSIGN(const PointwiseOperand value, parse_operand(typed.second));
        p.add_output(typed.first, value);
      }
    } else {
      PointwiseInstr instr;
      if (word.starts_with("cast:")) {
        CARNOT_ASSIGN(instr.cast, parse_type(word.substr(5)));
      } else if (auto op = find_pointwise(word)) {
        instr.op = *op;
      } else {
        return invalid("pointwise program: there is no operator '{}'", word);
      }
      int operands = 0, parameters = 0;
      for (std::string_view one : split(rest, ',')) {
        if (one.starts_with('=')) {
          if (parameters == 2) return invalid("pointwise program: '{}' has too many parameters", statement);
          CARNOT_ASSIGN(const double value, parse_number(one.substr(1)));
          (parameters++ == 0 ? instr.alpha : instr.beta) = static_cast<float>(value);
        } else {
          if (operands == 3) return invalid("pointwise program: '{}' has too many operands", statement);
          CARNOT_ASSIGN(instr.in[operands++], parse_operand(one));
        }
      }
      if (operands != arity_of(instr)) return invalid("pointwise program: '{}' needs {} operands", statement, arity_of(instr));
      p.code.push_back(instr);
    }
    if (p.code.size() > kMaxInstrs) return invalid("pointwise program: more than {} instructions", kMaxInstrs);
  }
  CARNOT_RETURN_IF_ERROR(p.verify());
  return p;
}

std::string PointwiseProgram::str() const {
  std::string out;
  for (size_t i = 0; i < inputs.size(); ++i) out += fmt::format("{}{}", i == 0 ? "in " : ",", dtype_name(inputs[i]));
  for (size_t i = 0; i < immediates.size(); ++i) {
    const PointwiseImmediate& imm = immediates[i];
    out += i == 0 ? (out.empty() ? "imm " : "; imm ") : ",";
    if (imm.dtype == DType::kF32)
      out += fmt::format("f32:{}", static_cast<float>(imm.number));
    else
      out += fmt::format("{}:{}", dtype_name(imm.dtype), imm.integer);
  }
  for (const PointwiseInstr& instr : code) {
    if (!out.empty()) out += "; ";
    if (instr.cast != DType::kInvalid)
      out += fmt::format("cast:{} ", dtype_name(instr.cast));
    else
      out += fmt::format("{} ", pointwise_row(instr.op).name);
    for (int k = 0; k < arity_of(instr); ++k) out += (k ? "," : "") + print(instr.in[k]);
    const int parameters = instr.cast != DType::kInvalid ? 0 : pointwise_row(instr.op).parameters();
    if (parameters > 0) out += fmt::format(",={}", instr.alpha);
    if (parameters > 1) out += fmt::format(",={}", instr.beta);
  }
  for (size_t i = 0; i < outputs.size(); ++i)
    out += fmt::format("{}{}:{}", i == 0 ? (out.empty() ? "out " : "; out ") : ",", dtype_name(outputs[i].dtype), print(outputs[i].value));
  return out;
}

}  // namespace carnot::cpu
