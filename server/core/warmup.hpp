// SPDX-License-Identifier: Apache-2.0
// model_warmup: requests that are run before a model is ready, so that no client pays for the first run of a shape.
#pragma once
#include <functional>

#include "core/scheduler.hpp"

namespace carnot::serve {

// Runs each sample `count` times on every instance. input_data_file is looked for in FOLDER/warmup/. `prepare` gives a
// job what clients do not send.
MaybeFault warm_up(const inference::ModelConfig& config, const std::string& folder, const Runner& runner,
                   Scheduler& scheduler, const std::function<void(Job&)>& prepare);

}  // namespace carnot::serve
