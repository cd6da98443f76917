// SPDX-License-Identifier: Apache-2.0
// The kernels that call the vendor's libraries, made from a command's parameters. What they do is told where they are defined.
//
// They are used with the device's context current in the calling thread. workspace() may be the first to open a library; an error there
// is told by run(). The first run() of a shape outside of a recording times what the library offers, which takes up to some milliseconds.
#pragma once
#include <memory>

#include "base/attr.hpp"
#include "device/kernel.hpp"

namespace carnot::cuda {

Result<std::unique_ptr<device::Kernel>> make_gemm(const Attrs& params);            // cuda.gemm
Result<std::unique_ptr<device::Kernel>> make_conv(const Attrs& params);            // cuda.conv
Result<std::unique_ptr<device::Kernel>> make_conv_transpose(const Attrs& params);  // cuda.conv_transpose
Result<std::unique_ptr<device::Kernel>> make_sdpa(const Attrs& params);            // cuda.sdpa
Result<std::unique_ptr<device::Kernel>> make_recurrent(const Attrs& params);       // cuda.recurrent

}  // namespace carnot::cuda
