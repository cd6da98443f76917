// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/conv/winograd_body.hpp"
