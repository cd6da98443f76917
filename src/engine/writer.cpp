// SPDX-License-Identifier: Apache-2.0
#include "engine/writer.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine_generated.h"

namespace carnot::engine {
namespace {

uint64_t align64(uint64_t n) { return (n + 63) / 64 * 64; }

class MetadataBuilder {
 public:
  std::vector<uint8_t> build(const Program& program, std::span<const std::byte> code) {
    std::vector<flatbuffers::Offset<fb::Plan>> plans;
    for (const Plan& plan : program.plans) plans.push_back(add(plan));
    const auto producer = fbb_.CreateString(program.producer);
    const auto target = fbb_.CreateString(program.target);
    const auto all_plans = fbb_.CreateVector(plans);
    const auto inputs = ios(program.input_names, program.input_ranges), outputs = ios(program.output_names, {});
    const auto dims = fbb_.CreateVectorOfStrings(dim_texts_);
    const auto metadata = entries(program.metadata), build = entries(program.build);
    std::vector<flatbuffers::Offset<fb::Code>> blobs;
    for (const CodeBlob& c : program.code) blobs.push_back(fb::CreateCode(fbb_, fbb_.CreateString(c.name), fbb_.CreateString(c.arch), c.offset, c.size));
    const auto all_code = blobs.empty() ? 0 : fbb_.CreateVector(blobs);
    fbb_.Finish(fb::CreateEngine(fbb_, producer, target, all_plans, inputs, outputs, dims, metadata, build, all_code, code.size(),
                                 code.empty() ? 0 : XXH3_64bits(code.data(), code.size())));
    return {fbb_.GetBufferPointer(), fbb_.GetBufferPointer() + fbb_.GetSize()};
  }

 private:
  flatbuffers::Offset<fb::Plan> add(const Plan& plan) {
    std::vector<flatbuffers::Offset<fb::Buffer>> buffers;
    for (const Buffer& b : plan.buffers) {
      std::vector<int64_t> dims;
      for (const Dim& d : b.shape) dims.push_back(encode(d));
      buffers.push_back(fb::CreateBuffer(fbb_, static_cast<uint8_t>(b.dtype), static_cast<uint8_t>(b.kind), fbb_.CreateVector(dims),
                                         b.offset, b.alias, b.alias_offset, static_cast<uint8_t>(b.place), static_cast<uint64_t>(b.pitch)));
    }
    std::vector<flatbuffers::Offset<fb::Command>> commands;
    for (const Command& c : plan.commands) {
      std::vector<flatbuffers::Offset<fb::Attr>> params;
      for (const auto& [name, value] : c.params) params.push_back(add(name, value));
      const auto kernel = fbb_.CreateSharedString(c.kernel);
      const auto all_params = fbb_.CreateVector(params);
      const auto in = fbb_.CreateVector(c.inputs), out = fbb_.CreateVector(c.outputs), bodies = fbb_.CreateVector(c.bodies);
      commands.push_back(fb::CreateCommand(fbb_, kernel, all_params, in, out, bodies, fbb_.CreateString(c.where), fbb_.CreateSharedString(c.note)));
    }
    const auto b = fbb_.CreateVector(buffers);
    const auto c = fbb_.CreateVector(commands);
    const auto in = fbb_.CreateVector(plan.inputs), out = fbb_.CreateVector(plan.outputs);
    return fb::CreatePlan(fbb_, b, c, in, out);
  }

  flatbuffers::Offset<fb::Attr> add(const std::string& name, const Attr& value) {
    std::vector<int64_t> ints;
    std::vector<double> doubles;
    std::vector<std::string> strings;
    switch (value.index()) {
      case 0: ints = {std::get<0>(value)}; break;
      case 1: doubles = {std::get<1>(value)}; break;
      case 2: strings = {std::get<2>(value)}; break;
      case 3: ints = std::get<3>(value); break;
      case 4: doubles = std::get<4>(value); break;
      case 5: strings = std::get<5>(value); break;
      case 6: ints = {static_cast<int64_t>(std::get<6>(value))}; break;
    }
    const auto key = fbb_.CreateSharedString(name);
    const auto i = fbb_.CreateVector(ints);
    const auto d = fbb_.CreateVector(doubles);
    const auto s = fbb_.CreateVectorOfStrings(strings);
    return fb::CreateAttr(fbb_, key, static_cast<uint8_t>(value.index()), i, d, s);
  }

  int64_t encode(const Dim& dim) {
    if (dim.is_constant()) return dim.value();
    const std::string text = dim.str();
    auto [it, inserted] = dim_index_.try_emplace(text, dim_texts_.size());
    if (inserted) dim_texts_.push_back(text);
    return -1 - static_cast<int64_t>(it->second);
  }

  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<fb::Io>>> ios(const std::vector<std::string>& names, const std::vector<InputRange>& ranges) {
    std::vector<flatbuffers::Offset<fb::Io>> out;
    for (size_t i = 0; i < names.size(); ++i) {
      const auto name = fbb_.CreateString(names[i]);
      if (i >= ranges.size() || ranges[i].empty()) {
        out.push_back(fb::CreateIo(fbb_, name));
        continue;
      }
      const auto min = fbb_.CreateVector(ranges[i].min), opt = fbb_.CreateVector(ranges[i].opt), max = fbb_.CreateVector(ranges[i].max);
      out.push_back(fb::CreateIo(fbb_, name, min, opt, max));
    }
    return fbb_.CreateVector(out);
  }

  flatbuffers::Offset<flatbuffers::Vector<flatbuffers::Offset<fb::Entry>>> entries(const std::map<std::string, std::string>& map) {
    std::vector<flatbuffers::Offset<fb::Entry>> out;
    for (const auto& [key, value] : map) out.push_back(fb::CreateEntry(fbb_, fbb_.CreateString(key), fbb_.CreateString(value)));
    return fbb_.CreateVector(out);
  }

  flatbuffers::FlatBufferBuilder fbb_{1 << 16};
  std::map<std::string, size_t> dim_index_;
  std::vector<std::string> dim_texts_;
};

Status write_all(int fd, const void* data, size_t size) {
  const auto* p = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::write(fd, p, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(Code::kIo, "{}", std::strerror(errno));
    p += n;
    size -= static_cast<size_t>(n);
  }
  return {};
}

}  // namespace

Result<std::vector<std::byte>> write_bytes(const Program& program, std::vector<ConstantPiece> constants, std::span<const std::byte> code) {
  const std::vector<uint8_t> metadata = MetadataBuilder().build(program, code);
  uint64_t constants_size = 0;
  for (const ConstantPiece& piece : constants) constants_size = std::max<uint64_t>(constants_size, piece.offset + piece.size);

  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.format_version = kFormatVersion;
  header.min_reader_version = program.device_kind().empty() ? kMinReaderVersion : kMinDeviceReaderVersion;
  for (const Plan& plan : program.plans)
    for (const Buffer& b : plan.buffers)
      if (b.pitch != 0) header.min_reader_version = kMinPitchReaderVersion;
  header.metadata_offset = sizeof(Header);
  header.metadata_size = metadata.size();
  header.constants_offset = align64(sizeof(Header) + metadata.size());
  header.constants_size = constants_size;

  const uint64_t code_offset = align64(header.constants_offset + constants_size);
  const uint64_t total = code.empty() ? header.constants_offset + constants_size : code_offset + code.size();

  std::vector<std::byte> file;
  try {
    file.reserve(total);
  } catch (const std::bad_alloc&) {
    return fail(Code::kOutOfMemory, "no memory for an engine of {} bytes", total);
  }
  // Gaps are zero: same bytes every time. The memory fills as it is written, and each piece goes when it is there: weights are large.
  const auto append = [&file](uint64_t at, const void* data, size_t size) {
    CARNOT_CHECK(at >= file.size());
    file.resize(at);
    const auto* const from = static_cast<const std::byte*>(data);
    file.insert(file.end(), from, from + size);
  };
  append(header.metadata_offset, metadata.data(), metadata.size());
  std::sort(constants.begin(), constants.end(), [](const ConstantPiece& a, const ConstantPiece& b) { return a.offset < b.offset; });
  for (ConstantPiece& piece : constants) {
    if (piece.size > 0) append(header.constants_offset + piece.offset, piece.data, piece.size);
    piece.owner.reset();
  }
  file.resize(header.constants_offset + constants_size);
  if (!code.empty()) append(code_offset, code.data(), code.size());
  header.metadata_hash = XXH3_64bits(metadata.data(), metadata.size());
  header.constants_hash = XXH3_64bits(file.data() + header.constants_offset, constants_size);
  std::memcpy(file.data(), &header, sizeof(header));
  return file;
}

Status write_file(const std::string& path, std::span<const std::byte> bytes) {
  const std::string temporary = fmt::format("{}.tmp{}", path, ::getpid());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return fail(Code::kIo, "cannot write '{}': {}", path, std::strerror(errno));
  Status status = write_all(fd, bytes.data(), bytes.size());
  if (::close(fd) != 0 && status) status = fail(Code::kIo, "{}", std::strerror(errno));
  if (status && ::rename(temporary.c_str(), path.c_str()) != 0) status = fail(Code::kIo, "{}", std::strerror(errno));
  if (!status) {
    ::unlink(temporary.c_str());
    return std::move(status.error()).within(fmt::format("cannot write '{}'", path));
  }
  return {};
}

Status write_file(const std::string& path, const Program& program, std::vector<ConstantPiece> constants) {
  CARNOT_ASSIGN(const std::vector<std::byte> bytes, write_bytes(program, std::move(constants)));
  return write_file(path, bytes);
}

}  // namespace carnot::engine
