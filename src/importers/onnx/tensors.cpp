// SPDX-License-Identifier: Apache-2.0
#include "importers/onnx/tensors.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <new>

namespace carnot::onnx {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxRank = 64;

// Half precision and 8-bit floats stand in int32_data as bit patterns, everything else as its value.
template <typename T>
T element(int32_t v) {
  if constexpr (std::is_same_v<T, float16> || std::is_same_v<T, bfloat16>) {
    T out;
    out.bits = static_cast<uint16_t>(v);
    return out;
  } else {
    return static_cast<T>(v);
  }
}

template <typename From>
Result<Constant> from_list(DType dtype, const Dims& dims, int64_t size, const std::vector<From>& list, std::string_view field) {
  if (list.size() != static_cast<size_t>(size)) return invalid("shape {} needs {} elements, {} holds {}", to_string(dims), size, field, list.size());
  Constant c = Constant::allocate(dtype, dims);
  dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* out = static_cast<T*>(c.mutable_data());
    for (size_t i = 0; i < list.size(); ++i) {
      if constexpr (std::is_same_v<From, int32_t>) out[i] = element<T>(list[i]);
      else out[i] = static_cast<T>(list[i]);
    }
  });
  return c;
}

bool inside(const fs::path& file, const fs::path& folder) {
  const auto [end, _] = std::mismatch(folder.begin(), folder.end(), file.begin(), file.end());
  return end == folder.end();
}

Result<uint64_t> number(std::string_view key, std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return invalid("external data: {} '{}' is no size", key, text.substr(0, 40));
  return value;
}

}  // namespace

Result<DType> dtype_of(int32_t data_type) {
  const auto dtype = static_cast<DType>(data_type);
  if (data_type == static_cast<int32_t>(DType::kString)) return fail(Code::kUnsupported, "elements of type string are not supported");
  if (data_type > 0 && data_type < 256 && dtype_size(dtype) > 0) return dtype;
  return fail(Code::kUnsupported, "elements of type {} are not supported", data_type_name(data_type));
}

Result<Constant> Tensors::constant(const TensorProto& t) try {
  const auto where = [&](Error e) { return t.name.empty() ? std::move(e) : std::move(e).within(fmt::format("tensor '{}'", t.name.substr(0, 200))); };
  auto dtype = dtype_of(t.data_type);
  if (!dtype) return where(std::move(dtype.error()));
  if (t.dims.size() > kMaxRank) return where(invalid("rank {} is above {}", t.dims.size(), kMaxRank));
  auto size = checked_size(t.dims);
  if (!size) return where(std::move(size.error()));
  size_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<size_t>(*size), dtype_size(*dtype), &bytes)) return where(invalid("shape {} is too large", to_string(t.dims)));

  Result<Constant> out = [&]() -> Result<Constant> {
    if (t.is_external) {
      std::shared_ptr<const void> owner;
      CARNOT_ASSIGN(const std::string_view raw, external(t, bytes, owner));
      return from_raw(*dtype, t.dims, raw, owner, true);
    }
    if (t.has_raw) return from_raw(*dtype, t.dims, t.raw, owner_, mapped_);
    switch (*dtype) {
      case DType::kF32: return from_list(*dtype, t.dims, *size, t.float_data, "float_data");
      case DType::kF64: return from_list(*dtype, t.dims, *size, t.double_data, "double_data");
      case DType::kI64: return from_list(*dtype, t.dims, *size, t.int64_data, "int64_data");
      case DType::kU32:
      case DType::kU64: return from_list(*dtype, t.dims, *size, t.uint64_data, "uint64_data");
      default: return from_list(*dtype, t.dims, *size, t.int32_data, "int32_data");
    }
  }();
  if (!out) return where(std::move(out.error()));
  return out;
} catch (const std::bad_alloc&) {
  return fail(Code::kOutOfMemory, "no memory for tensor '{}' of shape {}", t.name.substr(0, 200), to_string(t.dims));
}

Result<Constant> Tensors::from_raw(DType dtype, Dims dims, std::string_view raw, const std::shared_ptr<const void>& owner, bool mapped) {
  const size_t bytes = static_cast<size_t>(size_of(dims)) * dtype_size(dtype);
  if (raw.size() != bytes) return invalid("shape {} of {} needs {} bytes, there are {}", to_string(dims), dtype_name(dtype), bytes, raw.size());
  if (dtype == DType::kBool) {
    // Any other byte than 0 and 1 is no C++ bool.
    Constant c = Constant::allocate(dtype, std::move(dims));
    std::transform(raw.begin(), raw.end(), static_cast<unsigned char*>(c.mutable_data()), [](char b) -> unsigned char { return b != 0; });
    return c;
  }
  const bool aligned = reinterpret_cast<uintptr_t>(raw.data()) % dtype_size(dtype) == 0;
  // Pages of the file count as this process's memory until they are given back: after the copy, or with the constant.
  if (!owner || !aligned || bytes == 0) {
    Constant c = Constant::copy_of(dtype, std::move(dims), raw.data());
    if (mapped) MappedFile::forget(raw.data(), bytes);
    return c;
  }
  if (!mapped) return Constant{dtype, std::move(dims), raw.data(), owner};
  return Constant{dtype, std::move(dims), raw.data(), std::shared_ptr<const void>(raw.data(), [owner, bytes](const void* p) { MappedFile::forget(p, bytes); })};
}

Result<std::string_view> Tensors::external(const TensorProto& t, size_t bytes, std::shared_ptr<const void>& owner) {
  std::string location;
  uint64_t offset = 0, length = bytes;
  for (const auto& [key, value] : t.external) {
    if (key == "location") location = std::string(value);
    if (key == "offset") {
      CARNOT_ASSIGN(offset, number(key, value));
    }
    if (key == "length") {
      CARNOT_ASSIGN(length, number(key, value));
    }
  }
  if (location.empty()) return invalid("external data has no location");
  if (location.find('\0') != std::string::npos) return invalid("the location of external data holds a NUL character");
  CARNOT_ASSIGN(std::shared_ptr<MappedFile> file, open(location));
  const size_t size = file->bytes().size();
  if (length != bytes) return invalid("external data '{}': the shape needs {} bytes, length says {}", location, bytes, length);
  if (offset > size || length > size - offset)
    return invalid("external data '{}' has {} bytes, the tensor is said to lie at {}..{}", location, size, offset, offset + length);
  owner = file;
  return std::string_view(reinterpret_cast<const char*>(file->bytes().data()) + offset, length);
}

Result<std::shared_ptr<MappedFile>> Tensors::open(const std::string& location) {
  if (auto it = files_.find(location); it != files_.end()) return it->second;
  if (folder_.empty()) return invalid("external data '{}': a model that comes as bytes has no folder; name one, or load the file", location);
  if (fs::path(location).is_absolute()) return invalid("external data '{}' has an absolute path; it must be relative to the model's folder", location);
  std::error_code error;
  const fs::path folder = fs::canonical(folder_, error);
  if (error) return fail(Code::kIo, "folder '{}': {}", folder_, error.message());
  // Links are followed first: what counts is where the bytes are.
  const fs::path file = fs::canonical(folder / location, error);
  if (error) return fail(Code::kNotFound, "external data '{}' is missing in '{}' ({}); copy it there", location, folder_, error.message());
  bool allowed = inside(file, folder);
  if (!allowed && !root_.empty()) {
    const fs::path root = fs::canonical(root_, error);
    allowed = !error && inside(file, root);
  }
  if (!allowed)
    return invalid("external data '{}' lies outside the model's folder '{}' (at '{}'); if you trust the model, allow that folder as its root", location,
                   folder_, file.string());
  CARNOT_ASSIGN(std::shared_ptr<MappedFile> mapped, MappedFile::open(file.string()));
  return files_[location] = std::move(mapped);
}

Result<Constant> Tensors::dense(const SparseTensorProto& s) try {
  CARNOT_ASSIGN(const Constant values, constant(s.values));
  CARNOT_ASSIGN(const Constant indices, constant(s.indices));
  auto total = checked_size(s.dims);
  if (!total) return std::move(total.error());
  if (s.dims.empty() || indices.dtype != DType::kI64) return invalid("sparse tensor '{}': indices must be int64 and the shape not empty", s.values.name);
  const size_t width = dtype_size(values.dtype), rank = s.dims.size();
  const bool linear = indices.dims.size() == 1;
  if (values.dims.size() != 1 || indices.size() != values.size() * static_cast<int64_t>(linear ? 1 : rank))
    return invalid("sparse tensor '{}': {} values and indices of shape {} do not fit", s.values.name, values.size(), to_string(indices.dims));
  if (static_cast<uint64_t>(*total) > (uint64_t{1} << 34) / width) return invalid("sparse tensor '{}': shape {} is too large", s.values.name, to_string(s.dims));
  Constant out = Constant::allocate(values.dtype, s.dims);
  std::memset(out.mutable_data(), 0, out.bytes());
  const int64_t* at = indices.as<int64_t>();
  const Dims strides = strides_of(s.dims);
  for (int64_t i = 0; i < values.size(); ++i) {
    int64_t flat = linear ? at[i] : 0;
    for (size_t d = 0; !linear && d < rank; ++d) {
      const int64_t index = at[static_cast<size_t>(i) * rank + d];
      if (index < 0 || index >= s.dims[d]) return invalid("sparse tensor '{}': index {} is outside axis {} of {}", s.values.name, index, d, to_string(s.dims));
      flat += index * strides[d];
    }
    if (flat < 0 || flat >= *total) return invalid("sparse tensor '{}': index {} is outside {}", s.values.name, flat, to_string(s.dims));
    std::memcpy(static_cast<char*>(out.mutable_data()) + static_cast<size_t>(flat) * width, static_cast<const char*>(values.data) + static_cast<size_t>(i) * width, width);
  }
  return out;
} catch (const std::bad_alloc&) {
  return fail(Code::kOutOfMemory, "no memory for sparse tensor '{}' of shape {}", s.values.name, to_string(s.dims));
}

}  // namespace carnot::onnx
