// SPDX-License-Identifier: Apache-2.0
// A model's configuration: what config.pbtxt says, completed and checked with what the engine says.
#pragma once
#include "carnot/carnot.hpp"
#include "core/fault.hpp"
#include "model_config.pb.h"

namespace carnot::serve {

// The largest batch of a model that can batch and has no configuration.
inline constexpr int kDefaultMaxBatch = 32;

// True if the engine takes any number of items: the first dim of every input and output is open and has one name.
bool can_batch(const Engine& engine);

// Fills what is absent (inputs, outputs; max_batch_size and dynamic_batching too where `derived`, that is, no file was
// there) and refuses what the engine contradicts. `config->name` must be set.
MaybeFault complete_config(const Engine& engine, bool derived, inference::ModelConfig* config);

}  // namespace carnot::serve
