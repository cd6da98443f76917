// SPDX-License-Identifier: Apache-2.0
// The side of Triton that a backend sees, in one process and without a network: it implements the functions of
// triton/api.h over plain structs, loads libtriton_carnot.so, and keeps account of what must come in pairs. Strict
// where the server's contract is: a request answered twice, a response sent twice, or a message deleted twice ends the
// program.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api.h"

namespace fake {

struct Error {
  TRITONSERVER_Error_Code code;
  std::string text;
};
using ErrorPtr = std::unique_ptr<Error>;

struct Message {
  std::string text;
};

struct Buffer {
  std::vector<std::byte> bytes;
  TRITONSERVER_MemoryType type = TRITONSERVER_MEMORY_CPU;
  size_t offset = 0;  // of the data in `bytes`, to have it unaligned
};

struct Input {
  std::string name;
  TRITONSERVER_DataType type;
  std::vector<int64_t> shape;
  std::deque<Buffer> buffers;
  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const Buffer& b : buffers) sum += b.bytes.size() - b.offset;
    return sum;
  }
};

struct Output {
  std::string name;
  TRITONSERVER_DataType type;
  std::vector<int64_t> shape;
  std::vector<std::byte> data;
};

// What a request has come to.
struct Answer {
  bool released = false;
  int responses = 0;
  ErrorPtr error;
  std::deque<Output> outputs;
  int counted_success = 0, counted_failure = 0;
  bool ordered_times = true;

  const Output& output(const std::string& name) const;
};

struct Request {
  std::deque<Input> inputs;
  std::vector<std::string> outputs;
  bool cancelled = false;
  TRITONSERVER_MemoryType output_memory = TRITONSERVER_MEMORY_CPU;
  bool no_output_memory = false;  // the server has none
  Answer answer;

  // An input in one piece.
  template <typename T>
  Request& add(const std::string& name, TRITONSERVER_DataType type, std::vector<int64_t> shape,
               const std::vector<T>& data) {
    const auto* p = reinterpret_cast<const std::byte*>(data.data());
    inputs.push_back({name, type, std::move(shape), {Buffer{{p, p + data.size() * sizeof(T)}}}});
    return *this;
  }
};

struct Model {
  std::string name = "m", folder, config = "{}";
  uint64_t version = 1;
  bool auto_complete = true;
  bool config_was_set = false;
  void* state = nullptr;
};

struct Instance {
  Model* model = nullptr;
  TRITONSERVER_InstanceGroupKind kind = TRITONSERVER_INSTANCEGROUPKIND_CPU;
  int32_t device = 0;
  void* state = nullptr;
  std::vector<uint64_t> batches;  // as reported
};

// The server's own settings.
struct Server {
  uint32_t api_major = 1, api_minor = 19;
  std::string backend_config = R"({"cmdline":{"auto-complete-config":"true","default-max-batch-size":"4"}})";
  bool parallel_loading = false;
  int live_errors = 0, live_messages = 0, live_responses = 0;
  std::vector<std::string> log;
};
Server& server();

// The library's entry points, loaded once and kept.
class Backend {
 public:
  explicit Backend(const std::string& path);
  ErrorPtr initialize();
  ErrorPtr finalize();
  ErrorPtr attributes();
  ErrorPtr load(Model& model);
  ErrorPtr unload(Model& model);
  ErrorPtr start(Instance& instance);
  ErrorPtr stop(Instance& instance);
  ErrorPtr execute(Instance& instance, const std::vector<Request*>& requests);

 private:
  template <typename Fn>
  Fn* get(const char* name);
  void* library_;
};

}  // namespace fake
