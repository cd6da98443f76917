// SPDX-License-Identifier: Apache-2.0
// What the requests of a load test carry: shapes without open dims, and one or several samples of input data.
#pragma once
#include "carnot/load.hpp"
#include "core/datatype.hpp"
#include "core/fault.hpp"
#include "kserve.pb.h"

namespace carnot::serve::load {

struct Tensor {
  std::string name;
  const Datatype* type = nullptr;
  std::vector<int64_t> shape;  // as sent
  std::string bytes;
};
using Sample = std::vector<Tensor>;  // a tensor for each input

struct OutputSpec {
  std::string name;
  size_t bytes = 0;  // of shared memory
};

struct Data {
  std::vector<Sample> samples;
  std::vector<OutputSpec> outputs;
};

// `batched`: the model has a batch dim. What begins with one in the metadata gets options.batch there.
Or<Data> make_data(const LoadOptions& options, const inference::ModelMetadataResponse& metadata, bool batched);

}  // namespace carnot::serve::load
