// SPDX-License-Identifier: Apache-2.0
// One instance of a model: a session, and the work that the server hands it. The server calls an instance from one
// thread at a time.
#pragma once
#include <array>
#include <span>

#include "model.hpp"

namespace carnot::triton {

class Instance {
 public:
  static MaybeFailure create(TRITONBACKEND_ModelInstance* handle, const Model& model,
                             std::unique_ptr<Instance>* instance);

  // Answers and releases every request, each with its own error if it has one. Never throws: half of the requests may
  // be answered already.
  void execute(std::span<TRITONBACKEND_Request* const> requests) noexcept;

 private:
  struct Input {
    TRITONBACKEND_Input* handle = nullptr;
    std::vector<int64_t> shape;
    uint64_t bytes = 0;
    uint32_t buffers = 0;
  };
  struct Item {
    TRITONBACKEND_Request* request = nullptr;
    std::vector<Input> inputs;  // in the model's order
    int64_t batch = 1;
  };
  struct Buffer {
    const void* data = nullptr;
    uint64_t bytes = 0;
    bool on_gpu = false;
    int64_t device = 0;
  };
  struct Times {
    uint64_t start = 0, compute_start = 0, compute_end = 0;
  };

  Instance(TRITONBACKEND_ModelInstance* handle, const Model& model, Session session, int64_t device)
      : handle_(handle), model_(model), session_(std::move(session)), device_(device) {}

  MaybeFailure read(TRITONBACKEND_Request* request, Item* item) const;
  MaybeFailure buffer(const Input& input, uint32_t index, Buffer* out) const;
  bool joins(const Item& a, const Item& b) const;  // they may run together
  void run(std::span<Item> items);
  MaybeFailure bind(std::span<Item> items, size_t index, int64_t batch);
  MaybeFailure collect(int64_t batch);
  MaybeFailure fill(const Item& item, int64_t first, int64_t batch, TRITONBACKEND_Response* response) const;
  void answer(const Item& item, int64_t first, int64_t batch, const Times& times) const;
  void refuse(TRITONBACKEND_Request* request, const Failure& why, const Times& times) const;
  Failure session_failure(carnot_status status) const;

  TRITONBACKEND_ModelInstance* handle_;
  const Model& model_;
  Session session_;
  int64_t device_;
  // Reused from run to run: what was gathered, the shapes bound, the outputs.
  std::vector<std::vector<std::byte>> gathered_;
  std::vector<std::vector<int64_t>> shapes_;
  std::vector<carnot_tensor> outputs_;
};

}  // namespace carnot::triton
