// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/half/body.hpp"
