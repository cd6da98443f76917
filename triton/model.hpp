// SPDX-License-Identifier: Apache-2.0
// A model of the server: the engine of one version, and what its instances need to know. Immutable once it is made.
#pragma once
#include <memory>

#include "carnot/carnot.hpp"
#include "config.hpp"
#include "datatype.hpp"

namespace carnot::triton {

// An input or output as requests see it.
struct Tensor {
  std::string name;
  const Datatype* type;
  size_t size;  // bytes of an element
  bool scalar;  // the engine's has no dims; requests write [1]
};

class Model {
 public:
  // Reads version folder and configuration, completes the configuration if the server allows it.
  static MaybeFailure create(TRITONBACKEND_Model* handle, std::unique_ptr<Model>* model);

  const std::string& name() const { return name_; }
  const Engine& engine() const { return *engine_; }
  bool on_device() const { return on_device_; }  // the engine is for a GPU
  int64_t max_batch() const { return settings_.max_batch; }
  int threads() const { return settings_.threads; }
  const std::vector<Tensor>& inputs() const { return inputs_; }
  const std::vector<Tensor>& outputs() const { return outputs_; }

 private:
  MaybeFailure open(const std::string& folder, const std::string& cache, const std::string& device);

  std::string name_;
  Settings settings_;
  std::optional<Engine> engine_;
  bool on_device_ = false;
  std::vector<Tensor> inputs_, outputs_;
};

}  // namespace carnot::triton
