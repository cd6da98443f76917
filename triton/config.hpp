// SPDX-License-Identifier: Apache-2.0
// The model configuration that Triton hands over as JSON: completed from the engine, and checked against it.
#pragma once
#include <nlohmann/json.hpp>

#include "carnot/carnot.hpp"
#include "failure.hpp"

namespace carnot::triton {

// What the backend itself reads of a configuration.
struct Settings {
  int64_t max_batch = 0;  // 0: requests have no batch dim and run one by one
  int threads = 0;        // parameters { key: "threads" }: of a run; 0: one per core
  std::string file;       // default_model_filename, "" if not given
};

// Before the engine is there.
MaybeFailure read_settings(const nlohmann::json& config, Settings* settings);

// Fills in what `config` leaves out: inputs, outputs, and, if it names neither and every tensor's first dim is the same
// open one, max_batch_size and dynamic_batching. *changed says whether it did.
void complete(const Engine& engine, int64_t default_max_batch, nlohmann::json* config, bool* changed);

// Names, types and shapes of `config` must be those of the engine.
MaybeFailure check(const Engine& engine, const nlohmann::json& config);

}  // namespace carnot::triton
