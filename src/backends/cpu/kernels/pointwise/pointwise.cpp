// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/pointwise/pointwise.hpp"

#include <algorithm>
#include <cstring>

#include "base/threads.hpp"

namespace carnot::cpu {

namespace {

constexpr int64_t kScratchBytes = 96 * 1024;  // on the stack; kMaxSlots registers of 64 elements of 8 bytes fit
constexpr int64_t kMaxTile = 2048;            // elements; beyond it the per-tile work no longer shows
constexpr int64_t kRegisterBytes = 24 * 1024;  // what the registers together should take, to leave L1 room for memory operands

// The largest tile whose registers fit the L1 cache, in whole vectors.
int64_t tile_elements(const PointwiseProgram& p) {
  const int64_t bytes = std::max(p.slots(), 1) * p.slot_bytes();
  return std::clamp<int64_t>(kRegisterBytes / bytes / 64 * 64, 64, kMaxTile);
}

// One worker's registers and what they hold.
class Registers {
 public:
  Registers(const PointwiseProgram& p, const PointwiseTable& table, int64_t tile) : program_(p), table_(table), bytes_(tile * p.slot_bytes()) {
    for (size_t k = 0; k < p.immediates.size(); ++k) {
      const PointwiseImmediate& imm = p.immediates[k];
      const auto f = static_cast<float>(imm.number);
      const auto i = static_cast<int32_t>(imm.integer);
      const auto b = static_cast<uint8_t>(imm.integer != 0);
      const void* value = imm.dtype == DType::kF32 ? static_cast<const void*>(&f) : imm.dtype == DType::kI32 ? static_cast<const void*>(&i)
                          : imm.dtype == DType::kI64 ? static_cast<const void*>(&imm.integer) : &b;
      table.strided_loads[static_cast<int>(imm.dtype)](value, 0, slot(static_cast<int>(p.inputs.size() + k)), tile);
    }
    std::fill_n(filled_, PointwiseProgram::kMaxInputs, nullptr);
    std::fill_n(filled_count_, PointwiseProgram::kMaxInputs, 0);
  }

  void* slot(int index) { return scratch_ + index * bytes_; }

  // n elements of input k that lie side by side.
  void use(size_t k, const void* data, int64_t n) {
    const DType dtype = program_.inputs[k];
    if (dtype == DType::kF32 || dtype == DType::kI32 || dtype == DType::kI64) {
      operand_[k] = data;
      return;
    }
    filled_[k] = nullptr;
    operand_[k] = slot(static_cast<int>(k));
    table_.loads[static_cast<int>(dtype)](data, slot(static_cast<int>(k)), n);
  }
  // n times one element. Kept from tile to tile.
  void use_uniform(size_t k, const void* data, int64_t n) {
    operand_[k] = slot(static_cast<int>(k));
    if (filled_[k] == data && filled_count_[k] >= n) return;
    table_.strided_loads[static_cast<int>(program_.inputs[k])](data, 0, slot(static_cast<int>(k)), n);
    filled_[k] = data;
    filled_count_[k] = n;
  }
  // Part of an operand that is put together piece by piece, from element `at` of the register on.
  void put(size_t k, int64_t at, const void* data, int64_t stride, int64_t n) {
    const int dtype = static_cast<int>(program_.inputs[k]);
    char* to = static_cast<char*>(slot(static_cast<int>(k))) + at * lane_bytes(*lane_of(program_.inputs[k]));
    operand_[k] = slot(static_cast<int>(k));
    filled_[k] = nullptr;
    if (stride == 1)
      table_.loads[dtype](data, to, n);
    else
      table_.strided_loads[dtype](data, stride, to, n);
  }
  // Whether the register already holds n elements of the pattern that starts at data; it is remembered as such.
  bool holds(size_t k, const void* data, int64_t n) {
    operand_[k] = slot(static_cast<int>(k));
    return filled_[k] == data && filled_count_[k] >= n;
  }
  void remember(size_t k, const void* data, int64_t n) {
    filled_[k] = data;
    filled_count_[k] = n;
  }

  // All instructions on n elements; the inputs' operands have been set. out[j]: where output j goes.
  void execute(void* const* out, int64_t n) {
    for (const PointwiseInstr& instr : program_.code) {
      void* to = instr.output >= 0 ? out[instr.output] : slot(instr.slot);
      const void* a = get(instr.in[0], out);
      if (instr.cast != DType::kInvalid) {
        table_.casts[static_cast<int>(instr.lane)][static_cast<int>(instr.cast)](a, to, n);
        continue;
      }
      const int arity = pointwise_row(instr.op).arity;
      table_.rows[static_cast<int>(instr.op)][static_cast<int>(instr.lane)](a, arity > 1 ? get(instr.in[1], out) : nullptr,
                                                                           arity > 2 ? get(instr.in[2], out) : nullptr, to, n, instr.alpha, instr.beta);
    }
    for (size_t j = 0; j < program_.outputs.size(); ++j)
      if (const PointwiseOutput& o = program_.outputs[j]; !o.direct) table_.stores[static_cast<int>(o.dtype)](get(o.value, out), out[j], n);
  }

 private:
  const void* get(PointwiseOperand o, void* const* out) {
    if (o.kind == PointwiseOperand::kInput) return operand_[o.index];
    if (o.kind == PointwiseOperand::kImmediate) return slot(static_cast<int>(program_.inputs.size() + o.index));
    const PointwiseInstr& instr = program_.code[o.index];
    return instr.output >= 0 ? out[instr.output] : slot(instr.slot);
  }

  const PointwiseProgram& program_;
  const PointwiseTable& table_;
  int64_t bytes_;
  const void* operand_[PointwiseProgram::kMaxInputs];
  const void* filled_[PointwiseProgram::kMaxInputs];
  int64_t filled_count_[PointwiseProgram::kMaxInputs];
  alignas(64) char scratch_[kScratchBytes];
};

enum class Access : uint8_t {
  kSame,      // the output's own layout
  kUniform,   // one element for all
  kPeriodic,  // a vector along the last axis
  kGeneral,
};

// The iteration: the output's axes with size 1 dropped and neighbours merged where every operand allows.
struct Space {
  int rank = 0;
  int64_t dims[kMaxPointwiseRank];
  int64_t total = 1;
  int64_t strides[PointwiseProgram::kMaxInputs][kMaxPointwiseRank];  // elements; 0 = broadcast
  Access access[PointwiseProgram::kMaxInputs];
};

Status make_space(std::span<const PointwiseInput> inputs, bool pitched_results, const Dims& dims, Space& space) {
  const size_t rank = dims.size();
  if (pitched_results && (rank == 0 || dims.back() < 2)) return invalid("a result of shape {} with rows that lie apart", to_string(dims));
  for (size_t k = 0; k < inputs.size(); ++k)
    if (inputs[k].dims->size() > rank) return invalid("operand {} has more axes than the result", k);
  for (size_t axis = 0; axis < rank; ++axis) {
    if (dims[axis] == 1) continue;
    int64_t strides[PointwiseProgram::kMaxInputs];
    for (size_t k = 0; k < inputs.size(); ++k) {
      const Dims& own = *inputs[k].dims;
      const size_t missing = rank - own.size();
      if (axis < missing || own[axis - missing] == 1) {
        strides[k] = 0;
        continue;
      }
      if (own[axis - missing] != dims[axis]) return invalid("operand {} of shape {} does not broadcast to {}", k, to_string(own), to_string(dims));
      strides[k] = 1;
      for (size_t i = axis - missing + 1; i < own.size(); ++i) strides[k] *= i + 1 == own.size() && inputs[k].pitch != 0 ? inputs[k].pitch : own[i];
    }
    // Rows of results that lie apart stay rows.
    bool merge = space.rank > 0 && !(pitched_results && axis + 1 == rank);
    for (size_t k = 0; k < inputs.size() && merge; ++k) merge = space.strides[k][space.rank - 1] == strides[k] * dims[axis];
    if (!merge) {
      if (space.rank == kMaxPointwiseRank) return invalid("broadcasting over more than {} axes", kMaxPointwiseRank);
      space.dims[space.rank++] = 1;
    }
    space.dims[space.rank - 1] *= dims[axis];
    for (size_t k = 0; k < inputs.size(); ++k) space.strides[k][space.rank - 1] = strides[k];
    space.total *= dims[axis];
  }
  if (space.rank == 0) {
    space.dims[space.rank++] = 1;
    for (size_t k = 0; k < inputs.size(); ++k) space.strides[k][0] = 0;
  }
  for (size_t k = 0; k < inputs.size(); ++k) {
    bool same = true, outer_zero = true;
    int64_t expected = 1;
    for (int i = space.rank - 1; i >= 0; --i) {
      same = same && space.strides[k][i] == expected;
      expected *= space.dims[i];
      if (i < space.rank - 1) outer_zero = outer_zero && space.strides[k][i] == 0;
    }
    const int64_t last = space.strides[k][space.rank - 1];
    space.access[k] = same ? Access::kSame : outer_zero && last == 0 ? Access::kUniform : outer_zero && last == 1 ? Access::kPeriodic : Access::kGeneral;
  }
  return {};
}

// Sets input k's operand for output elements [start, start + n).
void prepare(Registers& registers, const Space& space, size_t k, const PointwiseInput& input, int64_t size, int64_t start, int64_t n) {
  const char* data = static_cast<const char*>(input.data);
  const int64_t inner = space.dims[space.rank - 1];
  switch (space.access[k]) {
    case Access::kSame: return registers.use(k, data + start * size, n);
    case Access::kUniform: return registers.use_uniform(k, data, n);
    case Access::kPeriodic: {
      const int64_t at = start % inner;
      if (at + n <= inner) return registers.use(k, data + at * size, n);
      // Tiles of several rows start at a row.
      if (registers.holds(k, data, n)) return;
      for (int64_t done = 0; done < n; done += inner) registers.put(k, done, data, 1, std::min(inner, n - done));
      return registers.remember(k, data, n);
    }
    case Access::kGeneral: break;
  }
  const int64_t* strides = space.strides[k];
  const int64_t step = strides[space.rank - 1];
  int64_t index[kMaxPointwiseRank];
  int64_t rest = start, offset = 0;
  for (int i = space.rank - 1; i >= 0; --i) {
    index[i] = rest % space.dims[i];
    rest /= space.dims[i];
    offset += index[i] * strides[i];
  }
  if (index[space.rank - 1] + n <= inner) {
    if (step == 1) return registers.use(k, data + offset * size, n);
    if (step == 0) return registers.use_uniform(k, data + offset * size, n);
  }
  for (int64_t done = 0; done < n;) {
    const int64_t run = std::min(inner - index[space.rank - 1], n - done);
    registers.put(k, done, data + offset * size, step, run);
    done += run;
    index[space.rank - 1] += run;
    offset += run * step;
    for (int i = space.rank - 1; i > 0 && index[i] == space.dims[i]; --i) {
      offset += strides[i - 1] - strides[i] * space.dims[i];
      index[i] = 0;
      ++index[i - 1];
    }
  }
}

}  // namespace

Status run_pointwise(const PointwiseProgram& p, std::span<const PointwiseInput> inputs, std::span<const PointwiseResult> outputs, const Dims& dims,
                     ThreadPool& pool, Isa isa) {
  if (inputs.size() != p.inputs.size() || outputs.size() != p.outputs.size())
    return invalid("pointwise program: has {} inputs and {} outputs, got {} and {}", p.inputs.size(), p.outputs.size(), inputs.size(), outputs.size());
  Space space;
  const bool pitched_results = std::any_of(outputs.begin(), outputs.end(), [](const PointwiseResult& r) { return r.pitch != 0; });
  const bool pitched_inputs = std::any_of(inputs.begin(), inputs.end(), [](const PointwiseInput& in) { return in.pitch != 0; });
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) return {};  // strides of an empty tensor could be anything
  CARNOT_RETURN_IF_ERROR(make_space(inputs, pitched_results, dims, space));
  const PointwiseTable& table = pointwise_table(isa);
  const int64_t tile = tile_elements(p), inner = space.dims[space.rank - 1];
  // Long rows are cut into equal parts, short ones taken several at a time, so that a tile never starts within a row that it leaves.
  // Rows that lie apart are taken one by one, unless they are so short that it pays to put several together first.
  const bool apart = pitched_results || (pitched_inputs && inner >= 32);
  const bool whole_rows = !apart && space.rank > 1 && inner * 2 <= tile;
  const int64_t parts = whole_rows ? 1 : (inner + tile - 1) / tile;
  const int64_t step = whole_rows ? tile / inner * inner : ((inner + parts - 1) / parts + 63) / 64 * 64;
  const int64_t tiles = whole_rows ? (space.total + step - 1) / step : space.total / inner * parts;
  const int64_t grain = std::max<int64_t>(1, 16384 / (std::min(step, inner * tile) * static_cast<int64_t>(std::max<size_t>(p.code.size(), 1))));
  pool.parallel_ranges(tiles, grain, [&](int64_t begin, int64_t end) {
    Registers registers(p, table, tile);
    void* out[PointwiseProgram::kMaxOutputs];
    for (int64_t t = begin; t < end; ++t) {
      const int64_t start = whole_rows ? t * step : t / parts * inner + std::min(t % parts * step, inner);
      const int64_t limit = whole_rows ? space.total : (t / parts + 1) * inner;
      const int64_t n = std::min(step, limit - start);
      if (n == 0) continue;
      for (size_t k = 0; k < inputs.size(); ++k)
        prepare(registers, space, k, inputs[k], static_cast<int64_t>(dtype_size(p.inputs[k])), start, n);
      for (size_t j = 0; j < outputs.size(); ++j) {
        const int64_t at = outputs[j].pitch == 0 ? start : start / inner * outputs[j].pitch + start % inner;
        out[j] = static_cast<char*>(outputs[j].data) + at * static_cast<int64_t>(dtype_size(p.outputs[j].dtype));
      }
      registers.execute(out, n);
    }
  });
  return {};
}

void run_pointwise_rows(const PointwiseProgram& p, const PointwiseBlock* inputs, const PointwiseBlock* outputs, int64_t rows, int64_t cols,
                        const PointwiseTable& table) {
  const int64_t tile = tile_elements(p);
  Registers registers(p, table, tile);
  void* out[PointwiseProgram::kMaxOutputs];
  // Column by column of tiles, so that per-column vectors are prepared once.
  for (int64_t c = 0; c < cols; c += tile) {
    const int64_t n = std::min(tile, cols - c);
    for (int64_t r = 0; r < rows; ++r) {
      for (size_t k = 0; k < p.inputs.size(); ++k) {
        const PointwiseBlock& in = inputs[k];
        const char* data = static_cast<const char*>(in.data) + (r * in.row + c * in.col) * static_cast<ptrdiff_t>(dtype_size(p.inputs[k]));
        if (in.col == 0)
          registers.use_uniform(k, data, n);
        else if (r == 0 || in.row != 0)
          registers.use(k, data, n);
      }
      for (size_t j = 0; j < p.outputs.size(); ++j)
        out[j] = static_cast<char*>(outputs[j].data) + (r * outputs[j].row + c) * static_cast<ptrdiff_t>(dtype_size(p.outputs[j].dtype));
      registers.execute(out, n);
    }
  }
}

}  // namespace carnot::cpu
