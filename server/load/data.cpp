// SPDX-License-Identifier: Apache-2.0
#include "load/data.hpp"

#include <rapidjson/error/en.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>

#include "http/base64.hpp"
#include "http/json_tensor.hpp"

namespace carnot::serve::load {
namespace {

namespace fs = std::filesystem;
using TensorMetadata = inference::ModelMetadataResponse::TensorMetadata;
using rapidjson::Value;

constexpr uint64_t kMaxBytes = uint64_t{1} << 32;
constexpr size_t kStringBytes = 16;  // of a random BYTES element

std::string item_of_bytes(std::string_view text) {
  const auto length = static_cast<uint32_t>(text.size());
  std::string out(reinterpret_cast<const char*>(&length), sizeof length);
  return out.append(text);
}

// An item of one input: without the batch dim if the model has one.
struct Item {
  std::vector<int64_t> shape;
  std::string bytes;
};

// Numbers that suit most models: floats in [0, 1), small integers that are no index too far.
std::string random_bytes(const Datatype& type, uint64_t count, std::mt19937_64& random) {
  std::string out;
  if (type.size == 0) {
    for (uint64_t i = 0; i < count; ++i) {
      std::string text(kStringBytes, ' ');
      for (char& c : text) c = static_cast<char>('a' + random() % 26);
      out += item_of_bytes(text);
    }
    return out;
  }
  out.resize(count * type.size);
  const auto fill = [&](auto next) {
    using T = decltype(next());
    auto* at = out.data();
    for (uint64_t i = 0; i < count; ++i, at += sizeof(T)) {
      const T value = next();
      std::memcpy(at, &value, sizeof value);
    }
  };
  std::uniform_real_distribution<double> unit(0, 1);
  switch (type.dtype) {
    case CARNOT_F32:
      fill([&] { return static_cast<float>(unit(random)); });
      break;
    case CARNOT_F64:
      fill([&] { return unit(random); });
      break;
    case CARNOT_F16:  // exponent of [0.5, 1), any mantissa
      fill([&] { return static_cast<uint16_t>(0x3800 | (random() & 0x3FF)); });
      break;
    case CARNOT_BF16:
      fill([&] { return static_cast<uint16_t>(0x3F00 | (random() & 0x7F)); });
      break;
    case CARNOT_BOOL:
      fill([&] { return static_cast<uint8_t>(random() & 1); });
      break;
    default:  // integers of any width, little-endian: one small byte and zeros
      for (uint64_t i = 0; i < count; ++i) out[i * type.size] = static_cast<char>(random() % 100);
  }
  return out;
}

std::string zero_bytes(const Datatype& type, uint64_t count) {
  if (type.size > 0) return std::string(count * type.size, '\0');
  std::string out;
  for (uint64_t i = 0; i < count; ++i) out += item_of_bytes("");
  return out;
}

// The shape of an item by metadata and --shape.
Or<std::vector<int64_t>> item_shape(const LoadOptions& options, const TensorMetadata& input, bool batched) {
  std::vector<int64_t> shape(input.shape().begin() + (batched ? 1 : 0), input.shape().end());
  if (const auto given = options.shapes.find(input.name()); given != options.shapes.end()) {
    const auto& wanted = given->second;
    bool fits = wanted.size() == shape.size();
    for (size_t d = 0; fits && d < shape.size(); ++d)
      fits = wanted[d] >= 0 && (shape[d] == -1 || shape[d] == wanted[d]);
    if (!fits)
      return invalid("the shape {} given for input '{}' does not fit {}{}", shape_text(wanted), input.name(),
                     shape_text(shape), batched ? " (leave the batch dim out)" : "");
    shape = wanted;
  }
  return shape;
}

Or<uint64_t> count_of(const TensorMetadata& input, const Datatype& type, const std::vector<int64_t>& shape) {
  if (std::find(shape.begin(), shape.end(), -1) != shape.end())
    return invalid("input '{}' has open dims {}: give them, for example --shape {}:{}", input.name(), shape_text(shape),
                   input.name(), "3,224,224");
  const auto count = element_count(shape);
  if (!count || *count > kMaxBytes / std::max<size_t>(type.size, 1))
    return invalid("shape {} of input '{}' is too large", shape_text(shape), input.name());
  return *count;
}

// One entry of a data file: [values], {"content": [values], "shape": [..]} or {"b64": "...", "shape": [..]}.
Or<Item> item_from_json(const Value& v, const TensorMetadata& input, const Datatype& type, Item item) {
  const Value* content = &v;
  if (v.IsObject()) {
    if (const auto shape = v.FindMember("shape"); shape != v.MemberEnd()) {
      item.shape.clear();
      if (!shape->value.IsArray()) return invalid("'shape' of input '{}' is no array", input.name());
      for (const Value& d : shape->value.GetArray()) {
        if (!d.IsInt64() || d.GetInt64() < 0) return invalid("'shape' of input '{}' is no shape", input.name());
        item.shape.push_back(d.GetInt64());
      }
    }
    if (const auto b64 = v.FindMember("b64"); b64 != v.MemberEnd() && b64->value.IsString()) {
      auto bytes = from_base64({b64->value.GetString(), b64->value.GetStringLength()});
      if (!bytes) return invalid("'b64' of input '{}' is no base64 text", input.name());
      item.bytes = type.size ? std::move(*bytes) : item_of_bytes(*bytes);
      return item;
    }
    const auto found = v.FindMember("content");
    if (found == v.MemberEnd()) return invalid("input '{}' has neither 'content' nor 'b64'", input.name());
    content = &found->value;
  }
  // Open dims of a flat list: one may follow from its length.
  if (std::count(item.shape.begin(), item.shape.end(), -1) == 1 && content->IsArray()) {
    int64_t known = 1;
    for (int64_t d : item.shape) known *= d == -1 ? 1 : d;
    for (int64_t& d : item.shape)
      if (d == -1) d = known > 0 ? static_cast<int64_t>(content->Size()) / known : 0;
  }
  if (auto count = count_of(input, type, item.shape); !count) return count.fault();
  std::vector<std::byte> bytes;
  if (auto refused = tensor_from_json(*content, type, item.shape, &bytes))
    return invalid("{} of input '{}' with shape {}", refused->text, input.name(), shape_text(item.shape));
  item.bytes.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return item;
}

Or<std::string> file_text(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return invalid("'{}' is no file", path.string());
  if (fs::file_size(path, error) > kMaxBytes) return invalid("'{}' is too large", path.string());
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

using Items = std::vector<std::vector<Item>>;  // by entry, by input

MaybeFault check_size(const TensorMetadata& input, const Datatype& type, const Item& item) {
  if (type.size == 0) return std::nullopt;
  auto count = count_of(input, type, item.shape);
  if (!count) return count.fault();
  if (item.bytes.size() != *count * type.size)
    return invalid("input '{}' with shape {} takes {} bytes, the data has {}", input.name(), shape_text(item.shape),
                   *count * type.size, item.bytes.size());
  return std::nullopt;
}

Or<Items> items_of_file(const LoadOptions& options, const inference::ModelMetadataResponse& metadata, bool batched) {
  auto text = file_text(options.data);
  if (!text) return text.fault();
  rapidjson::Document root;
  root.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseNanAndInfFlag>(text->data(), text->size());
  if (root.HasParseError())
    return invalid("'{}': {} at {}", options.data, rapidjson::GetParseError_En(root.GetParseError()),
                   root.GetErrorOffset());
  if (!root.IsObject() || !root.HasMember("data") || !root["data"].IsArray())
    return invalid("'{}' must be {{\"data\": [{{\"INPUT\": [..]}}, ..]}}", options.data);
  Items items;
  const auto add = [&](const Value& entry) -> MaybeFault {
    if (!entry.IsObject()) return invalid("'{}': an entry of 'data' is no object", options.data);
    auto& row = items.emplace_back();
    for (const auto& input : metadata.inputs()) {
      const auto v = entry.FindMember(input.name().c_str());
      if (v == entry.MemberEnd())
        return invalid("'{}': entry {} has no input '{}'", options.data, items.size() - 1, input.name());
      const Datatype* type = datatype_named(input.datatype());
      auto shape = item_shape(options, input, batched);
      if (!shape) return shape.fault();
      auto item = item_from_json(v->value, input, *type, {.shape = *shape});
      if (!item) return invalid("'{}': {}", options.data, item.fault().text);
      if (auto refused = check_size(input, *type, *item)) return invalid("'{}': {}", options.data, refused->text);
      row.push_back(std::move(*item));
    }
    return std::nullopt;
  };
  for (const Value& entry : root["data"].GetArray()) {
    // A list of entries is a stream of steps: here they follow one another like any others.
    if (entry.IsArray()) {
      for (const Value& step : entry.GetArray())
        if (auto refused = add(step)) return *refused;
    } else if (auto refused = add(entry)) {
      return *refused;
    }
  }
  if (items.empty()) return invalid("'{}' has no entry", options.data);
  return items;
}

Or<Items> items_of_options(const LoadOptions& options, const inference::ModelMetadataResponse& metadata, bool batched) {
  const bool zero = options.data == "zero", random = options.data == "random";
  if (!zero && !random && !fs::is_directory(options.data)) return items_of_file(options, metadata, batched);
  std::mt19937_64 engine(options.seed);
  Items items(random ? static_cast<size_t>(std::max(options.samples, 1)) * static_cast<size_t>(options.batch) : 1);
  for (auto& row : items)
    for (const auto& input : metadata.inputs()) {
      const Datatype* type = datatype_named(input.datatype());
      auto shape = item_shape(options, input, batched);
      if (!shape) return shape.fault();
      auto count = count_of(input, *type, *shape);
      if (!count) return count.fault();
      Item item{.shape = *shape};
      if (zero || random) {
        item.bytes = random ? random_bytes(*type, *count, engine) : zero_bytes(*type, *count);
      } else {
        auto bytes = file_text(fs::path(options.data) / input.name());
        if (!bytes) return bytes.fault();
        item.bytes = std::move(*bytes);
        if (auto refused = check_size(input, *type, item)) return *refused;
      }
      row.push_back(std::move(item));
    }
  return items;
}

}  // namespace

Or<Data> make_data(const LoadOptions& options, const inference::ModelMetadataResponse& metadata, bool batched) {
  if (options.batch < 1) return invalid("the batch size must be at least 1");
  if (options.batch > 1 && !batched)
    return invalid("model '{}' has no batch dim (max_batch_size 0): the batch size must be 1", options.model);
  for (const auto& [name, shape] : options.shapes)
    if (std::none_of(metadata.inputs().begin(), metadata.inputs().end(),
                     [&, &n = name](const auto& input) { return input.name() == n; }))
      return invalid("--shape names input '{}', which model '{}' does not have", name, options.model);
  for (const auto& input : metadata.inputs())
    if (!datatype_named(input.datatype()) || (batched && input.shape().empty()))
      return invalid("input '{}' has a datatype or shape that is not known: {}", input.name(), input.datatype());
  auto items = items_of_options(options, metadata, batched);
  if (!items) return items.fault();
  Data data;
  const auto batch = static_cast<size_t>(options.batch);
  // Batches take the entries in turn, until they begin with the first again.
  const size_t samples = items->size() / std::gcd(items->size(), batch);
  for (size_t s = 0; s < samples; ++s) {
    Sample sample;
    for (int i = 0; i < metadata.inputs_size(); ++i) {
      const auto at = static_cast<size_t>(i);
      const auto& first = (*items)[s * batch % items->size()][at];
      Tensor tensor{metadata.inputs(i).name(), datatype_named(metadata.inputs(i).datatype()), first.shape, ""};
      if (batched) tensor.shape.insert(tensor.shape.begin(), options.batch);
      for (size_t b = 0; b < batch; ++b) {
        const auto& item = (*items)[(s * batch + b) % items->size()][at];
        if (item.shape != first.shape)
          return invalid("input '{}' has different shapes in one batch: {} and {}", tensor.name,
                         shape_text(first.shape), shape_text(item.shape));
        tensor.bytes += item.bytes;
      }
      sample.push_back(std::move(tensor));
    }
    data.samples.push_back(std::move(sample));
  }
  for (const auto& output : metadata.outputs()) {
    OutputSpec spec{output.name(), options.output_bytes};
    const Datatype* type = datatype_named(output.datatype());
    std::vector<int64_t> shape(output.shape().begin(), output.shape().end());
    if (batched && !shape.empty()) shape[0] = options.batch;
    const auto count = element_count(shape);
    if (type && type->size && count && *count <= kMaxBytes / type->size) spec.bytes = *count * type->size;
    data.outputs.push_back(std::move(spec));
  }
  return data;
}

}  // namespace carnot::serve::load
