// SPDX-License-Identifier: Apache-2.0
// What clients may send to a model and what it answers. Checks requests; knows no engine.
#pragma once
#include "core/request.hpp"
#include "model_config.pb.h"

namespace carnot::serve {

// One input or output, as the configuration shows it.
struct IoSpec {
  std::string name;
  const Datatype* type = nullptr;
  std::vector<int64_t> dims;  // without the batch dim
  bool reshaped = false;
  std::vector<int64_t> reshape;  // what the engine takes instead of dims
  bool scalar = false;           // the engine has no dims
  std::vector<std::string> labels;
};

class Signature {
 public:
  // Inputs and outputs in the configuration's order.
  explicit Signature(const inference::ModelConfig& config);
  virtual ~Signature() = default;

  const std::string& name() const { return name_; }
  const std::vector<IoSpec>& inputs() const { return inputs_; }
  const std::vector<IoSpec>& outputs() const { return outputs_; }
  IoSpec& output(size_t i) { return outputs_[i]; }
  int64_t max_batch() const { return max_batch_; }
  // What the engine says of its commands, kernels and memory, as JSON; "{}" if there is none.
  virtual std::string report() const { return "{}"; }

  // Refuses a request that does not fit; else notes batch and order of inputs in the job.
  MaybeFault check(Job& job) const;
  // True if both may stand in one batch: the same shapes behind the batch dim.
  bool compatible(const Job& a, const Job& b) const;

 protected:
  Signature() = default;
  std::string name_;
  std::vector<IoSpec> inputs_, outputs_;
  int64_t max_batch_ = 0;

 private:
  MaybeFault check_input(const IoSpec& spec, const InputTensor& input, const std::string& id) const;
};

template <typename Tensor>
IoSpec spec_of(const Tensor& tensor) {
  IoSpec spec{.name = tensor.name(),
              .type = datatype_of_config(tensor.data_type()),
              .dims = {tensor.dims().begin(), tensor.dims().end()}};
  if (tensor.has_reshape()) {
    spec.reshaped = true;
    spec.reshape.assign(tensor.reshape().shape().begin(), tensor.reshape().shape().end());
  }
  return spec;
}

}  // namespace carnot::serve
