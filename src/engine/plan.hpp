// SPDX-License-Identifier: Apache-2.0
// Level 2: the plan. What an engine file stores and the runtime executes: buffers and commands in order.
#pragma once
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/attr.hpp"
#include "base/dims.hpp"
#include "base/tensor.hpp"

namespace carnot::engine {

enum class BufferKind : uint8_t {
  kInput = 0,     // bound by the caller
  kConstant = 1,  // lies in the constant section
  kTemp = 2,      // working memory (also outputs that the caller did not bind)
};

enum class Place : uint8_t {
  kHost = 0,
  kDevice = 1,  // in the memory of the device that the program's target names
};

struct Buffer {
  DType dtype = DType::kInvalid;
  BufferKind kind = BufferKind::kTemp;
  Shape shape;
  uint64_t offset = 0;        // kConstant: bytes from the start of the constants
  int32_t alias = -1;         // kTemp: lies inside that buffer, alias_offset bytes from its start
  uint64_t alias_offset = 0;
  Place place = Place::kHost;
  int64_t pitch = 0;          // not 0: elements from one row along the last axis to the next (see TensorView)
};

// Far above what networks have, and far below what could overflow positions.
inline constexpr int64_t kMaxPitch = int64_t{1} << 31;

struct Command {
  // "ref:<operator>" (params are its attributes), the id of a kernel, or "copy": from one place to another. Kernels whose id begins with
  // the target's kind ("cuda.") run on the device and have their operands there; all others have them on the host.
  std::string kernel;
  Attrs params;
  std::vector<int32_t> inputs;   // -1: optional operand absent
  std::vector<int32_t> outputs;
  std::vector<int32_t> bodies;   // indices into Program::plans
  std::string where;             // nodes of the source model
  std::string note;              // why this kernel
};

struct Plan {
  std::vector<Buffer> buffers;
  std::vector<Command> commands;
  std::vector<int32_t> inputs, outputs;
};

// Compiled code for the device. Commands name it by index (parameter `code`).
struct CodeBlob {
  std::string name, arch;
  uint64_t offset = 0, size = 0;  // in the code section
};

// The sizes of an input that an engine was built for, one entry a dim. A dim without bounds has min 0 and opt and max -1.
struct InputRange {
  Dims min, opt, max;
  bool empty() const { return max.empty(); }
  bool bounded() const { return std::find(max.begin(), max.end(), -1) == max.end(); }
};
// "1x3x32x32..1x3x320x320..1x3x640x640", as --shape takes it; "*" where there is no bound.
std::string to_string(const InputRange& range);

// Everything but the bytes of constants and code.
struct Program {
  std::string producer, target;
  std::vector<Plan> plans;  // plans[0] is the network, the others are bodies
  std::vector<std::string> input_names, output_names;
  std::vector<InputRange> input_ranges;  // by input; may be shorter: the others have none
  std::map<std::string, std::string> metadata;  // of the source model
  std::map<std::string, std::string> build;     // options and summary of the build
  std::vector<CodeBlob> code;

  // Null if the input has none.
  const InputRange* range_of(size_t input) const { return input < input_ranges.size() && !input_ranges[input].empty() ? &input_ranges[input] : nullptr; }

  // "cuda" of "cuda:sm_90"; empty where the host does everything.
  std::string device_kind() const {
    const std::string kind = target.substr(0, target.find(':'));
    return kind == "cpu" ? std::string() : kind;
  }
};

// Copies its operand's bytes to its result, which may lie in the other place.
inline constexpr char kCopyKernel[] = "copy";

// Where a command runs; "copy" counts as the host's.
inline Place runs_on(const Program& program, const Command& command) {
  const std::string kind = program.device_kind();
  return !kind.empty() && command.kernel.starts_with(kind + ".") ? Place::kDevice : Place::kHost;
}

inline constexpr char kMagic[8] = {'C', 'A', 'R', 'N', 'O', 'T', 'E', 'N'};
inline constexpr uint32_t kFormatVersion = 3;  // written; 2: places and code, 3: pitches
// A reader older than this must refuse what we write: programs of the host alone, those of a device, and those where rows lie apart.
inline constexpr uint32_t kMinReaderVersion = 1, kMinDeviceReaderVersion = 2, kMinPitchReaderVersion = 3;

// The first 64 bytes of a file, little endian. Sections are 64-byte aligned.
struct Header {
  char magic[8];
  uint32_t format_version;
  uint32_t min_reader_version;
  uint64_t metadata_offset, metadata_size;
  uint64_t constants_offset, constants_size;
  uint64_t metadata_hash;   // XXH3-64
  uint64_t constants_hash;  // XXH3-64
};
static_assert(sizeof(Header) == 64);

}  // namespace carnot::engine
