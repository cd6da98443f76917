// SPDX-License-Identifier: Apache-2.0
// Copies between memory of the host and of NVIDIA GPUs, through the driver, which is opened when it is first needed.
#pragma once
#include <cstddef>
#include <cstdint>

#include "failure.hpp"

namespace carnot::triton {

// Either side may lie on a GPU; `device` is the number of that GPU. Returns when the bytes are there.
MaybeFailure device_copy(void* to, const void* from, size_t bytes, int64_t device);

}  // namespace carnot::triton
