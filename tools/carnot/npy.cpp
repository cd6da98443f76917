// SPDX-License-Identifier: Apache-2.0
#include "npy.hpp"

#include <zip.h>

#include <regex>

#include "base/mapped_file.hpp"

namespace carnot::tool {
namespace {

struct Code2 {
  std::string_view descr;
  DType dtype;
};
// bfloat16 has no numpy code; ml_dtypes writes it as raw 2-byte void.
constexpr Code2 kCodes[] = {{"f4", DType::kF32}, {"f8", DType::kF64}, {"f2", DType::kF16}, {"i1", DType::kI8},  {"i2", DType::kI16},
                            {"i4", DType::kI32}, {"i8", DType::kI64}, {"u1", DType::kU8},  {"u2", DType::kU16}, {"u4", DType::kU32},
                            {"u8", DType::kU64}, {"b1", DType::kBool}, {"V2", DType::kBF16}};

std::string npy_bytes(const TensorView& view) {
  std::string_view descr = "V2";
  for (const Code2& c : kCodes)
    if (c.dtype == view.dtype) descr = c.descr;
  std::string shape;
  for (int64_t d : view.dims) shape += fmt::format("{},", d);
  std::string header = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}), }}", dtype_size(view.dtype) == 1 ? '|' : '<', descr, shape);
  header.resize((header.size() + 11 + 63) / 64 * 64 - 11, ' ');
  header += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(header.size() & 0xff);
  out += static_cast<char>(header.size() >> 8);
  out += header;
  if (view.bytes() > 0) out.append(static_cast<const char*>(view.data), view.bytes());
  return out;
}

}  // namespace

Result<Constant> read_npy(const std::string& path) {
  CARNOT_ASSIGN(auto file, MappedFile::open(path));
  const auto bytes = file->bytes();
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  if (bytes.size() < 12 || std::memcmp(p, "\x93NUMPY", 6) != 0) return invalid("'{}' is not a .npy file", path);
  const size_t prefix = p[6] == 1 ? 10 : 12;
  const size_t length = p[6] == 1 ? p[8] + 256u * p[9] : p[8] + 256u * p[9] + 65536u * p[10] + 16777216u * p[11];
  if (length > bytes.size() - prefix || length > 65536) return invalid("'{}': the header is cut off", path);
  const std::string header(reinterpret_cast<const char*>(p) + prefix, length);
  std::smatch descr, shape;
  if (!std::regex_search(header, descr, std::regex("'descr': *'([<|=>]?)([a-zA-Z0-9]+)'")) ||
      !std::regex_search(header, shape, std::regex("'shape': *\\(([0-9, ]*)\\)")))
    return invalid("'{}': cannot read the header (structured arrays are not supported)", path);
  if (descr[1] == ">") return invalid("'{}' is big endian; save it with little-endian dtype", path);
  if (header.find("'fortran_order': True") != std::string::npos) return invalid("'{}' is in Fortran order; save numpy.ascontiguousarray(x)", path);
  DType dtype = DType::kInvalid;
  for (const Code2& c : kCodes)
    if (descr[2].str() == c.descr) dtype = c.dtype;
  if (dtype == DType::kInvalid) return invalid("'{}': dtype '{}' is not supported", path, descr[2].str());
  Dims dims;
  const std::string list = shape[1];
  const std::regex number("[0-9]+");
  for (std::sregex_iterator it(list.begin(), list.end(), number), end; it != end; ++it) {
    if (it->str().size() > 18) return invalid("'{}': dimension {} is too large", path, it->str());
    dims.push_back(std::stoll(it->str()));
  }
  CARNOT_ASSIGN(const int64_t size, checked_size(dims));
  const size_t have = bytes.size() - prefix - length;
  if (static_cast<uint64_t>(size) > have / dtype_size(dtype)) return invalid("'{}' is cut off: shape {} needs more bytes than it holds", path, to_string(dims));
  return Constant::copy_of(dtype, std::move(dims), p + prefix + length);
}

Status write_npz(const std::string& path, const std::vector<std::pair<std::string, TensorView>>& arrays) {
  int code = 0;
  const std::string temporary = path + ".tmp";
  zip_t* archive = zip_open(temporary.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  if (!archive) return fail(Code::kIo, "cannot write '{}': zip error {}", path, code);
  std::vector<std::string> files;
  files.reserve(arrays.size());  // libzip reads the buffers when it closes
  for (const auto& [name, view] : arrays) {
    files.push_back(npy_bytes(view));
    zip_source_t* source = zip_source_buffer(archive, files.back().data(), files.back().size(), 0);
    const zip_int64_t index = source ? zip_file_add(archive, (name + ".npy").c_str(), source, ZIP_FL_OVERWRITE | ZIP_FL_ENC_UTF_8) : -1;
    if (index < 0 || zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), ZIP_CM_STORE, 0) != 0) {
      const std::string why = zip_strerror(archive);
      zip_discard(archive);
      return fail(Code::kIo, "cannot write '{}': {}", path, why);
    }
  }
  if (zip_close(archive) != 0) {
    const std::string why = zip_strerror(archive);
    zip_discard(archive);
    return fail(Code::kIo, "cannot write '{}': {}", path, why);
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return fail(Code::kIo, "cannot write '{}'", path);
  return {};
}

}  // namespace carnot::tool
