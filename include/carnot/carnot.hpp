// SPDX-License-Identifier: Apache-2.0
// RAII over carnot.h. Failures are thrown as carnot::Exception; nothing else is hidden.
//
//   carnot::Engine engine = carnot::Engine::load("model.engine");
//   carnot::Session session(engine, {.threads = 2});
//   auto outputs = session.run({{"x", carnot::tensor(pixels.data(), {1, 3, 224, 224})}});
//   const float* scores = outputs.at("y").data<float>();
#pragma once
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "carnot/carnot.h"

namespace carnot {

class Exception : public std::runtime_error {
 public:
  Exception(carnot_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  carnot_status status() const { return status_; }

 private:
  carnot_status status_;
};

inline void check(carnot_status status) {
  if (status != CARNOT_OK) throw Exception(status, carnot_last_error());
}

template <typename T>
struct DtypeOf;
template <> struct DtypeOf<float> { static constexpr carnot_dtype value = CARNOT_F32; };
template <> struct DtypeOf<double> { static constexpr carnot_dtype value = CARNOT_F64; };
template <> struct DtypeOf<int64_t> { static constexpr carnot_dtype value = CARNOT_I64; };
template <> struct DtypeOf<int32_t> { static constexpr carnot_dtype value = CARNOT_I32; };
template <> struct DtypeOf<int16_t> { static constexpr carnot_dtype value = CARNOT_I16; };
template <> struct DtypeOf<int8_t> { static constexpr carnot_dtype value = CARNOT_I8; };
template <> struct DtypeOf<uint8_t> { static constexpr carnot_dtype value = CARNOT_U8; };
template <> struct DtypeOf<uint16_t> { static constexpr carnot_dtype value = CARNOT_U16; };
template <> struct DtypeOf<uint32_t> { static constexpr carnot_dtype value = CARNOT_U32; };
template <> struct DtypeOf<uint64_t> { static constexpr carnot_dtype value = CARNOT_U64; };
template <> struct DtypeOf<bool> { static constexpr carnot_dtype value = CARNOT_BOOL; };

// A dense row-major tensor in somebody else's memory.
class TensorRef {
 public:
  TensorRef() = default;
  TensorRef(carnot_dtype dtype, std::vector<int64_t> dims, void* data) : dtype_(dtype), dims_(std::move(dims)), data_(data) {}
  carnot_dtype dtype() const { return dtype_; }
  const std::vector<int64_t>& dims() const { return dims_; }
  size_t size() const {
    size_t n = 1;
    for (int64_t d : dims_) n *= static_cast<size_t>(d);
    return n;
  }
  size_t bytes() const { return size() * carnot_dtype_size(dtype_); }
  void* raw() const { return data_; }
  // The elements; throws if T is not the tensor's dtype.
  template <typename T>
  const T* data() const {
    if (DtypeOf<T>::value != dtype_)
      throw Exception(CARNOT_INVALID_ARGUMENT, std::string("tensor holds ") + carnot_dtype_name(dtype_) + ", not " +
                                                   carnot_dtype_name(DtypeOf<T>::value));
    return static_cast<const T*>(data_);
  }
  carnot_tensor c() const { return {dtype_, dims_.size(), dims_.data(), data_, bytes()}; }

 private:
  carnot_dtype dtype_ = CARNOT_F32;
  std::vector<int64_t> dims_;
  void* data_ = nullptr;
};

// Wraps memory of the caller as an input. It is only read.
template <typename T>
TensorRef tensor(const T* data, std::vector<int64_t> dims) {
  return TensorRef(DtypeOf<T>::value, std::move(dims), const_cast<T*>(data));
}

struct IoInfo {
  std::string name;
  carnot_dtype dtype;
  std::vector<int64_t> dims;           // -1 where symbolic
  std::vector<std::string> dim_names;  // "batch", "4*seq+1", "224"
  std::vector<int64_t> min, opt, max;  // sizes that the engine was built for, see carnot_range; empty: no range
};

class Engine {
 public:
  static Engine load(const std::string& path) {
    carnot_engine* handle = nullptr;
    check(carnot_engine_load(path.c_str(), &handle));
    return Engine(handle);
  }
  // The bytes must outlive the engine (see carnot_engine_load_memory).
  static Engine load(const void* bytes, size_t size) {
    carnot_engine* handle = nullptr;
    check(carnot_engine_load_memory(bytes, size, &handle));
    return Engine(handle);
  }
  explicit Engine(carnot_engine* handle) : handle_(handle) {}
  Engine(Engine&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Engine& operator=(Engine&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Engine() { carnot_engine_release(handle_); }

  std::vector<IoInfo> inputs() const {
    std::vector<IoInfo> out = ios(carnot_engine_input_count(handle_), carnot_engine_input);
    for (size_t i = 0; i < out.size(); ++i) {
      carnot_range range{};
      check(carnot_engine_input_range(handle_, i, &range));
      if (range.rank == 0) continue;
      out[i].min.assign(range.min, range.min + range.rank);
      out[i].opt.assign(range.opt, range.opt + range.rank);
      out[i].max.assign(range.max, range.max + range.rank);
    }
    return out;
  }
  std::vector<IoInfo> outputs() const { return ios(carnot_engine_output_count(handle_), carnot_engine_output); }
  // Empty if the engine has no such key.
  std::string metadata(const std::string& key) const {
    const char* text = carnot_engine_metadata(handle_, key.c_str());
    return text ? text : "";
  }
  std::string describe_json() const { return carnot_engine_describe_json(handle_); }
  // What the engine takes of memory, as JSON, see carnot_engine_memory_json. `shapes`: one of each input, in order; none: the largest.
  std::string memory_json(const std::vector<std::vector<int64_t>>& shapes = {}, int threads = 0) const {
    std::vector<carnot_tensor> tensors;
    for (const auto& dims : shapes) tensors.push_back({CARNOT_F32, dims.size(), dims.data(), nullptr, 0});
    const char* json = nullptr;
    check(carnot_engine_memory_json(handle_, tensors.data(), tensors.size(), threads, &json));
    return json;
  }
  const carnot_engine* get() const { return handle_; }

 private:
  std::vector<IoInfo> ios(size_t count, carnot_status (*query)(const carnot_engine*, size_t, carnot_io*)) const {
    std::vector<IoInfo> out;
    for (size_t i = 0; i < count; ++i) {
      carnot_io io{};
      check(query(handle_, i, &io));
      out.push_back({io.name, io.dtype, {io.dims, io.dims + io.rank}, {io.dim_names, io.dim_names + io.rank}, {}, {}, {}});
    }
    return out;
  }
  carnot_engine* handle_ = nullptr;
};

struct SessionOptions {
  int threads = 0;
  size_t memory_limit = 0;
  bool profile = false;
  std::string device = {};  // engines of a device: "cuda:1"; empty: the first
  void* stream = nullptr;   // CUstream; null: one of the session's own
};

class Session {
 public:
  explicit Session(const Engine& engine, SessionOptions options = {}) {
    const carnot_session_options c{sizeof(carnot_session_options), options.threads, options.memory_limit, options.profile,
                                   options.device.empty() ? nullptr : options.device.c_str(), options.stream};
    check(carnot_session_create(engine.get(), &c, &handle_));
    for (const IoInfo& io : engine.outputs()) output_names_.push_back(io.name);
  }
  Session(Session&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)), output_names_(std::move(other.output_names_)) {}
  Session& operator=(Session&& other) noexcept {
    std::swap(handle_, other.handle_);
    std::swap(output_names_, other.output_names_);
    return *this;
  }
  ~Session() { carnot_session_release(handle_); }

  void set_input(const std::string& name, const TensorRef& value) {
    const carnot_tensor c = value.c();
    check(carnot_session_set_input(handle_, name.c_str(), &c));
  }
  void set_output(const std::string& name, const TensorRef& memory) {
    const carnot_tensor c = memory.c();
    check(carnot_session_set_output(handle_, name.c_str(), &c));
  }
  void run() { check(carnot_session_run(handle_)); }
  TensorRef output(const std::string& name) const {
    carnot_tensor c{};
    check(carnot_session_get_output(handle_, name.c_str(), &c));
    return TensorRef(c.dtype, {c.dims, c.dims + c.rank}, c.data);
  }
  // Binds, runs and gathers all outputs; they are valid until the next run.
  std::map<std::string, TensorRef> run(const std::map<std::string, TensorRef>& inputs) {
    for (const auto& [name, value] : inputs) set_input(name, value);
    run();
    std::map<std::string, TensorRef> out;
    for (const std::string& name : output_names_) out.emplace(name, output(name));
    return out;
  }
  size_t memory() const { return carnot_session_memory(handle_); }
  std::string profile_json() { return carnot_session_profile_json(handle_); }
  carnot_session* get() const { return handle_; }

 private:
  carnot_session* handle_ = nullptr;
  std::vector<std::string> output_names_;
};

}  // namespace carnot
