// SPDX-License-Identifier: Apache-2.0
#include "npz.hpp"

#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

namespace npz {
namespace {

// A part of the file; every access is checked, for a file may be cut short or be something else.
struct Bytes {
  const char* data;
  size_t size;

  Bytes part(size_t at, size_t length) const {
    if (at > size || length > size - at) throw std::runtime_error("it ends too early");
    return {data + at, length};
  }
  template <typename T>
  T number(size_t at) const {
    T value;
    std::memcpy(&value, part(at, sizeof value).data, sizeof value);
    return value;
  }
  std::string text() const { return {data, size}; }
};

// The text between `from` and the next `to` in the header of an .npy file, a Python dict literal.
std::string between(const std::string& header, const std::string& from, char to) {
  const size_t begin = header.find(from);
  const size_t end = begin == std::string::npos ? begin : header.find(to, begin + from.size());
  if (end == std::string::npos) throw std::runtime_error("an array has no " + from);
  return header.substr(begin + from.size(), end - begin - from.size());
}

Array parse_npy(Bytes file) {
  if (file.part(0, 6).text() != "\x93NUMPY" || file.number<uint8_t>(6) != 1)
    throw std::runtime_error("it holds something else than .npy arrays of version 1");
  const size_t header_size = file.number<uint16_t>(8);
  const std::string header = file.part(10, header_size).text();
  if (header.find("'fortran_order': False") == std::string::npos) throw std::runtime_error("an array is not row-major");
  Array array;
  array.dtype = between(header, "'descr': '", '\'');
  std::istringstream dims(between(header, "'shape': (", ')'));
  for (std::string dim; std::getline(dims, dim, ',');) {
    if (dim.find_first_not_of(' ') != std::string::npos) array.dims.push_back(std::stoll(dim));
  }
  const Bytes rest = file.part(10 + header_size, file.size - 10 - header_size);
  array.bytes.assign(rest.data, rest.data + rest.size);
  return array;
}

std::map<std::string, Array> parse_zip(Bytes file) {
  // The directory's place stands in the last 22 bytes (a file that numpy wrote has no comment behind them).
  if (file.size < 22 || file.number<uint32_t>(file.size - 22) != 0x06054b50)
    throw std::runtime_error("it is no ZIP file");
  const size_t count = file.number<uint16_t>(file.size - 12);
  size_t entry = file.number<uint32_t>(file.size - 6);
  std::map<std::string, Array> arrays;
  for (size_t i = 0; i < count; ++i) {
    if (file.number<uint16_t>(entry + 10) != 0) throw std::runtime_error("it is compressed: write it with numpy.savez");
    const size_t size = file.number<uint32_t>(entry + 20), name_size = file.number<uint16_t>(entry + 28);
    const size_t local = file.number<uint32_t>(entry + 42);
    const std::string name = file.part(entry + 46, name_size).text();
    const size_t start = local + 30 + file.number<uint16_t>(local + 26) + file.number<uint16_t>(local + 28);
    arrays[name.substr(0, name.rfind(".npy"))] = parse_npy(file.part(start, size));
    entry += 46 + name_size + file.number<uint16_t>(entry + 30) + file.number<uint16_t>(entry + 32);
  }
  return arrays;
}

}  // namespace

template <typename T>
std::vector<T> Array::as(const std::string& expected) const {
  size_t count = 1;
  for (const int64_t dim : dims) count *= static_cast<size_t>(dim);
  if (dtype != expected || bytes.size() != count * sizeof(T))
    throw std::runtime_error("an array holds " + dtype + ", not " + expected);
  std::vector<T> values(count);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}
template std::vector<float> Array::as(const std::string&) const;
template std::vector<uint8_t> Array::as(const std::string&) const;
template std::vector<int64_t> Array::as(const std::string&) const;

std::map<std::string, Array> load(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) throw std::runtime_error(path + ": cannot read");
  try {
    return parse_zip({bytes.data(), bytes.size()});
  } catch (const std::exception& problem) {
    throw std::runtime_error(path + ": " + problem.what());
  }
}

}  // namespace npz
