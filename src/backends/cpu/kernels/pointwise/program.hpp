// SPDX-License-Identifier: Apache-2.0
// A fused element-wise computation: straight-line code over the rows of base/pointwise.inc.
//
//   in f32,f32,bool; imm f32:0.5; add $0,$1; mul %0,#0; where $2,%1,$0; cast:f16 %2; out f16:%3
//
// $k is input k, #k immediate k, %k the result of instruction k. The text is what engines store. Every instruction works on one kind of
// lane: floats of any width are computed as f32; i8, u8, i16, u16 and i32 as i32; u32 and i64 as i64; bool stays bool. Results are cut to
// a narrower type where a cast says so, and outputs have the lane's type or are stored narrower after such a cast. f64 and u64 have no lanes.
// A verified program is immutable and may be used by any number of threads.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/pointwise.hpp"
#include "base/dtype.hpp"
#include "base/result.hpp"

namespace carnot::cpu {

enum class Lane : uint8_t { kF32, kI32, kI64, kBool };
inline constexpr int kLaneKinds = 4;
// None for f64, u64 and strings.
std::optional<Lane> lane_of(DType dtype);
// Bytes of one lane in a register; a bool is held as 0.0f or 1.0f.
inline int lane_bytes(Lane lane) { return lane == Lane::kI64 ? 8 : 4; }

struct PointwiseOperand {
  enum Kind : uint8_t { kInput, kImmediate, kResult } kind = kInput;
  uint16_t index = 0;
  bool operator==(const PointwiseOperand&) const = default;
};

struct PointwiseImmediate {
  DType dtype = DType::kF32;  // f32, i32, i64 or bool
  double number = 0;          // of f32 and bool
  int64_t integer = 0;        // of i32 and i64
};

struct PointwiseInstr {
  DType cast = DType::kInvalid;  // set: a cast to this type, and op is not looked at
  PointwiseOp op = PointwiseOp::kAdd;
  PointwiseOperand in[3];
  float alpha = 0, beta = 0;
  // Filled in by verify().
  Lane lane = Lane::kF32;    // of the operands; for where, of the two values
  Lane result = Lane::kF32;
  int slot = -1;             // register that takes the result; -1: written straight to `output`
  int output = -1;
};

struct PointwiseOutput {
  DType dtype = DType::kF32;
  PointwiseOperand value;
  bool direct = false;  // filled in by verify(): an instruction writes it, no copy is needed
};

class PointwiseProgram {
 public:
  static constexpr size_t kMaxInputs = 16, kMaxImmediates = 64, kMaxInstrs = 256, kMaxOutputs = 8;
  static constexpr int kMaxSlots = 160;

  std::vector<DType> inputs;
  std::vector<PointwiseImmediate> immediates;
  std::vector<PointwiseInstr> code;
  std::vector<PointwiseOutput> outputs;

  // Building: each returns the operand that names what was added. Call verify() afterwards.
  PointwiseOperand add_input(DType dtype);
  PointwiseOperand add_immediate(double value);  // f32; equal ones share
  PointwiseOperand add_immediate(DType dtype, int64_t value);
  PointwiseOperand add(PointwiseOp op, PointwiseOperand a, PointwiseOperand b = {}, PointwiseOperand c = {}, double alpha = 0, double beta = 0);
  PointwiseOperand add_cast(DType to, PointwiseOperand a);
  void add_output(DType dtype, PointwiseOperand value);

  // Checks everything (operands exist and precede, types fit the rows, limits) and assigns registers. Not before this may it be run.
  Status verify();
  // Parses and verifies. The text may come from a stranger.
  static Result<PointwiseProgram> parse(std::string_view text);
  std::string str() const;

  // After verify(): registers = one for each input, one for each immediate, then those of results.
  int slots() const { return slots_; }
  int slot_bytes() const { return slot_bytes_; }  // of one element
  Lane lane(PointwiseOperand operand) const;

 private:
  int slots_ = 0, slot_bytes_ = 4;
};

}  // namespace carnot::cpu
