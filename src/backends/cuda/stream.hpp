// SPDX-License-Identifier: Apache-2.0
// Streams, recordings (CUDA graphs) and events.
#pragma once
#include "backends/cuda/api.hpp"
#include "device/device.hpp"

namespace carnot::cuda {

Result<std::unique_ptr<device::Stream>> make_stream(const Api& api, CUcontext context);
std::unique_ptr<device::Stream> wrap_stream(const Api& api, CUcontext context, CUstream stream);
Result<std::unique_ptr<device::Event>> make_event(const Api& api, CUcontext context);

}  // namespace carnot::cuda
