// SPDX-License-Identifier: Apache-2.0
#include "vec_body.hpp"
