// SPDX-License-Identifier: Apache-2.0
#include "engine/reader.hpp"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/mapped_file.hpp"
#include "engine_generated.h"

namespace carnot::engine {
namespace {

Error corrupt(std::string_view what) { return fail(Code::kDataCorrupt, "the engine is damaged: {}; build it again", what); }

class Decoder {
 public:
  Decoder(const fb::Engine& root, uint64_t constants_size) : root_(root), constants_size_(constants_size) {}

  Result<Program> decode() {
    Program p;
    p.producer = text(root_.producer());
    p.target = text(root_.target());
    if (root_.dim_texts())
      for (const auto* t : *root_.dim_texts()) {
        CARNOT_ASSIGN(Dim d, Dim::parse(text(t)));
        dims_.push_back(std::move(d));
      }
    if (!root_.plans() || root_.plans()->size() == 0) return corrupt("it holds no plan");
    for (const auto* plan : *root_.plans()) {
      CARNOT_ASSIGN(Plan decoded, decode_plan(*plan));
      p.plans.push_back(std::move(decoded));
    }
    CARNOT_RETURN_IF_ERROR(check_bodies(p));
    p.input_names = names(root_.inputs());
    p.output_names = names(root_.outputs());
    if (p.input_names.size() != p.plans[0].inputs.size() || p.output_names.size() != p.plans[0].outputs.size())
      return corrupt("names and operands of the network differ in number");
    CARNOT_RETURN_IF_ERROR(decode_ranges(p));
    p.metadata = entries(root_.metadata());
    p.build = entries(root_.build());
    if (root_.code())
      for (const auto* c : *root_.code()) {
        if (c->offset() % 64 != 0 || c->offset() > root_.code_size() || c->size() > root_.code_size() - c->offset()) return corrupt("code lies outside the file");
        p.code.push_back({text(c->name()), text(c->arch()), c->offset(), c->size()});
      }
    CARNOT_RETURN_IF_ERROR(check_places(p));
    return p;
  }

 private:
  static std::string text(const flatbuffers::String* s) { return s ? s->str() : std::string(); }
  template <typename Vector>
  static std::vector<std::string> names(const Vector* ios) {
    std::vector<std::string> out;
    if (ios)
      for (const auto* io : *ios) out.push_back(text(io->name()));
    return out;
  }
  template <typename Vector>
  static std::map<std::string, std::string> entries(const Vector* list) {
    std::map<std::string, std::string> out;
    if (list)
      for (const auto* e : *list) out[text(e->key())] = text(e->value());
    return out;
  }

  Result<Plan> decode_plan(const fb::Plan& in) {
    Plan plan;
    const size_t count = in.buffers() ? in.buffers()->size() : 0;
    for (size_t i = 0; i < count; ++i) {
      CARNOT_ASSIGN(Buffer b, decode_buffer(*in.buffers()->Get(static_cast<unsigned>(i)), i));
      plan.buffers.push_back(std::move(b));
    }
    CARNOT_ASSIGN(plan.inputs, indices(in.inputs(), count, 0));
    CARNOT_ASSIGN(plan.outputs, indices(in.outputs(), count, 0));
    for (int32_t i : plan.outputs)
      if (plan.buffers[static_cast<size_t>(i)].pitch != 0) return corrupt("an output has rows that lie apart");
    for (int32_t i : plan.inputs)
      if (plan.buffers[static_cast<size_t>(i)].kind != BufferKind::kInput) return corrupt("an input is no input buffer");
    if (in.commands())
      for (const auto* c : *in.commands()) {
        Command command;
        command.kernel = text(c->kernel());
        command.where = text(c->where());
        command.note = text(c->note());
        CARNOT_ASSIGN(command.inputs, indices(c->inputs(), count, -1));
        CARNOT_ASSIGN(command.outputs, indices(c->outputs(), count, 0));
        for (int32_t o : command.outputs)
          if (plan.buffers[static_cast<size_t>(o)].kind != BufferKind::kTemp) return corrupt("a command writes to a constant or an input");
        if (c->bodies()) command.bodies.assign(c->bodies()->begin(), c->bodies()->end());
        if (c->params())
          for (const auto* a : *c->params()) {
            CARNOT_ASSIGN(Attr value, decode_attr(*a));
            command.params.emplace_back(text(a->name()), std::move(value));
          }
        plan.commands.push_back(std::move(command));
      }
    return plan;
  }

  // A range must fit its input and say the same of a symbol wherever it stands, so that its bounds are shapes that can be run.
  Status decode_ranges(Program& p) const {
    std::map<std::string, std::array<int64_t, 3>> bounds;
    for (size_t i = 0; i < p.input_names.size(); ++i) {
      const fb::Io& io = *root_.inputs()->Get(static_cast<unsigned>(i));
      const Shape& shape = p.plans[0].buffers[static_cast<size_t>(p.plans[0].inputs[i])].shape;
      InputRange& range = p.input_ranges.emplace_back();
      if (!io.min() && !io.opt() && !io.max()) continue;
      if (!io.min() || !io.opt() || !io.max() || io.min()->size() != shape.size() || io.opt()->size() != shape.size() || io.max()->size() != shape.size())
        return corrupt("the range of an input has another rank");
      for (unsigned a = 0; a < shape.size(); ++a) {
        const int64_t min = io.min()->Get(a), opt = io.opt()->Get(a), max = io.max()->Get(a);
        const bool open = min == 0 && opt == -1 && max == -1;
        if (!open && (min < 0 || min > opt || opt > max)) return corrupt("the range of an input is empty");
        if (shape[a].is_constant() && (min != shape[a].value() || max != shape[a].value())) return corrupt("the range of an input is not that of its shape");
        if (const auto symbol = shape[a].as_symbol()) {
          const auto [it, first] = bounds.try_emplace(*symbol, std::array{min, opt, max});
          if (!first && it->second != std::array{min, opt, max}) return corrupt("a dimension has two ranges");
        }
        range.min.push_back(min);
        range.opt.push_back(opt);
        range.max.push_back(max);
      }
    }
    return {};
  }

  Result<Buffer> decode_buffer(const fb::Buffer& in, size_t index) {
    Buffer b;
    b.dtype = static_cast<DType>(in.dtype());
    if (dtype_size(b.dtype) == 0) return corrupt("a buffer has an unknown dtype");
    if (in.kind() > 2) return corrupt("a buffer has an unknown kind");
    b.kind = static_cast<BufferKind>(in.kind());
    if (in.dims()) {
      if (in.dims()->size() > 64) return corrupt("a buffer has more than 64 dims");
      for (int64_t d : *in.dims()) {
        if (d >= 0) {
          b.shape.emplace_back(d);
          continue;
        }
        const auto k = static_cast<uint64_t>(-1 - d);
        if (k >= dims_.size()) return corrupt("a dim expression is missing");
        b.shape.push_back(dims_[k]);
      }
    }
    b.offset = in.offset();
    b.alias = in.alias();
    b.alias_offset = in.alias_offset();
    if (in.place() > 1) return corrupt("a buffer lies in an unknown place");
    b.place = static_cast<Place>(in.place());
    if (b.alias < -1 || b.alias >= static_cast<int64_t>(index)) return corrupt("a buffer lies inside one that does not exist");
    if (in.pitch() != 0) {
      if (b.alias < 0 || b.shape.empty() || !b.shape.back().is_constant() || in.pitch() > static_cast<uint64_t>(kMaxPitch) || static_cast<int64_t>(in.pitch()) < b.shape.back().value())
        return corrupt("a buffer has rows that lie too close or in no other buffer");
      b.pitch = static_cast<int64_t>(in.pitch());
    }
    if (b.alias >= 0 && b.kind != BufferKind::kTemp) return corrupt("only working memory can lie inside another buffer");
    if (b.kind == BufferKind::kConstant) {
      if (!is_static(b.shape)) return corrupt("a constant has a symbolic shape");
      auto n = checked_size(to_dims(b.shape));
      uint64_t bytes = 0;
      if (!n || __builtin_mul_overflow(static_cast<uint64_t>(*n), dtype_size(b.dtype), &bytes) || b.offset % 64 != 0 ||
          b.offset > constants_size_ || bytes > constants_size_ - b.offset)
        return corrupt("a constant lies outside the file");
    }
    return b;
  }

  static Result<std::vector<int32_t>> indices(const flatbuffers::Vector<int32_t>* list, size_t count, int32_t least) {
    std::vector<int32_t> out;
    if (list)
      for (int32_t i : *list) {
        if (i < least || i >= static_cast<int64_t>(count)) return corrupt("an operand does not exist");
        out.push_back(i);
      }
    return out;
  }

  static Result<Attr> decode_attr(const fb::Attr& a) {
    const std::vector<int64_t> ints = a.ints() ? std::vector<int64_t>(a.ints()->begin(), a.ints()->end()) : std::vector<int64_t>();
    const std::vector<double> doubles = a.doubles() ? std::vector<double>(a.doubles()->begin(), a.doubles()->end()) : std::vector<double>();
    std::vector<std::string> strings;
    if (a.strings())
      for (const auto* s : *a.strings()) strings.push_back(text(s));
    const bool scalar_missing = (a.kind() == 0 && ints.size() != 1) || (a.kind() == 1 && doubles.size() != 1) ||
                                (a.kind() == 2 && strings.size() != 1) || (a.kind() == 6 && ints.size() != 1);
    if (scalar_missing || a.kind() > 6) return corrupt("a parameter has no value");
    switch (a.kind()) {
      case 0: return Attr(ints[0]);
      case 1: return Attr(doubles[0]);
      case 2: return Attr(strings[0]);
      case 3: return Attr(ints);
      case 4: return Attr(doubles);
      case 5: return Attr(strings);
      default: return Attr(static_cast<DType>(ints[0]));
    }
  }

  // A body may only call plans behind its own: so there is no recursion, and depth is bounded by the number of plans.
  static Status check_bodies(const Program& p) {
    for (size_t i = 0; i < p.plans.size(); ++i)
      for (const Command& c : p.plans[i].commands)
        for (int32_t b : c.bodies)
          if (b <= static_cast<int64_t>(i) || b >= static_cast<int64_t>(p.plans.size())) return corrupt("a body does not exist");
    return {};
  }

  // Who reads what where: the callers' memory is on the host, so is that of host commands; commands of the device see only the device's.
  static Status check_places(const Program& p) {
    const std::string kind = p.device_kind();
    if (kind.size() > 16 || !std::all_of(kind.begin(), kind.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; }))
      return corrupt("its target is no device");
    for (const Plan& plan : p.plans) {
      const auto all_on = [&](const std::vector<int32_t>& list, Place place) {
        return std::all_of(list.begin(), list.end(), [&](int32_t b) { return b < 0 || plan.buffers[static_cast<size_t>(b)].place == place; });
      };
      if (!all_on(plan.inputs, Place::kHost) || !all_on(plan.outputs, Place::kHost)) return corrupt("an input or output is not on the host");
      for (const Buffer& b : plan.buffers) {
        if (b.place != Place::kHost && (kind.empty() || b.kind == BufferKind::kInput)) return corrupt("a buffer lies in an unknown place");
        if (b.alias >= 0 && plan.buffers[static_cast<size_t>(b.alias)].place != b.place) return corrupt("a buffer lies in another place than the one that holds it");
      }
      for (const Command& c : plan.commands) {
        if (c.kernel == kCopyKernel) {
          if (c.inputs.size() != 1 || c.outputs.size() != 1 || c.inputs[0] < 0 || !c.bodies.empty() ||
              plan.buffers[static_cast<size_t>(c.inputs[0])].dtype != plan.buffers[static_cast<size_t>(c.outputs[0])].dtype)
            return corrupt("a copy has wrong operands");
          continue;
        }
        const Place place = runs_on(p, c);
        if (!all_on(c.inputs, place) || !all_on(c.outputs, place)) return corrupt("an operand lies in another place than its command");
      }
    }
    return {};
  }

  const fb::Engine& root_;
  uint64_t constants_size_;
  std::vector<Dim> dims_;
};

}  // namespace

bool looks_like_engine(std::span<const std::byte> bytes) {
  return bytes.size() >= sizeof(kMagic) && std::memcmp(bytes.data(), kMagic, sizeof(kMagic)) == 0;
}

Result<Image> read_bytes(std::span<const std::byte> bytes, std::shared_ptr<const void> owner) {
  if (!looks_like_engine(bytes))
    return fail(Code::kDataCorrupt, "not a Carnot engine (it does not begin with '{}'); build one with 'carnot build MODEL'",
                std::string_view(kMagic, sizeof(kMagic)));
  if (bytes.size() < sizeof(Header)) return corrupt("it ends inside the header");
  Header h;
  std::memcpy(&h, bytes.data(), sizeof(h));
  if (h.min_reader_version > kFormatVersion || h.format_version == 0)
    return fail(Code::kDataCorrupt, "the engine has format version {}, this runtime reads up to {}; build it again with this version or update the runtime",
                h.format_version, kFormatVersion);
  auto inside = [&](uint64_t offset, uint64_t size) { return offset % 64 == 0 && offset <= bytes.size() && size <= bytes.size() - offset; };
  if (!inside(h.metadata_offset, h.metadata_size) || !inside(h.constants_offset, h.constants_size)) return corrupt("it is shorter than its header says");
  if (reinterpret_cast<uintptr_t>(bytes.data()) % 64 != 0) {
    AlignedPtr copy = aligned_allocate(bytes.size());
    if (!copy) return fail(Code::kOutOfMemory, "no memory for an engine of {} bytes", bytes.size());
    std::memcpy(copy.get(), bytes.data(), bytes.size());
    bytes = {static_cast<const std::byte*>(copy.get()), bytes.size()};
    owner = std::shared_ptr<const void>(copy.release(), [](const void* p) { std::free(const_cast<void*>(p)); });
  }
  const std::byte* metadata = bytes.data() + h.metadata_offset;
  if (XXH3_64bits(metadata, h.metadata_size) != h.metadata_hash ||
      XXH3_64bits(bytes.data() + h.constants_offset, h.constants_size) != h.constants_hash)
    return corrupt("its checksum does not match");
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(metadata), h.metadata_size, 16, 100'000'000);
  if (!fb::VerifyEngineBuffer(verifier)) return corrupt("its metadata cannot be read");
  const fb::Engine& root = *fb::GetEngine(metadata);
  const uint64_t code_offset = (h.constants_offset + h.constants_size + 63) / 64 * 64;
  std::span<const std::byte> code;
  if (root.code_size() > 0) {
    if (!inside(code_offset, root.code_size())) return corrupt("it is shorter than its metadata says");
    code = bytes.subspan(code_offset, root.code_size());
    if (XXH3_64bits(code.data(), code.size()) != root.code_hash()) return corrupt("the checksum of its code does not match");
  }
  Image image;
  CARNOT_ASSIGN(image.program, Decoder(root, h.constants_size).decode());
  image.constants = bytes.subspan(h.constants_offset, h.constants_size);
  image.code = code;
  image.owner = std::move(owner);
  return image;
}

Result<Image> read_file(const std::string& path) {
  CARNOT_ASSIGN(auto file, MappedFile::open(path));
  auto image = read_bytes(file->bytes(), file);
  if (!image) return std::move(image.error()).within(path);
  return image;
}

}  // namespace carnot::engine
