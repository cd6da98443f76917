/* SPDX-License-Identifier: Apache-2.0
 * The compiler's C interface, for programs that open libcarnot_compiler.so when they need it. The C++ one is carnot/network.hpp.
 */
#ifndef CARNOT_COMPILER_H
#define CARNOT_COMPILER_H

#include "carnot/carnot.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Builds an engine of an ONNX file, with default settings, for `device` ("cpu", "cuda", "cuda:sm_90"; NULL or "": "cpu"), and writes it
 * to engine_path: whole, or not at all. On failure `message` (may be NULL) gets the reason, cut to message_bytes with the final zero. */
CARNOT_EXPORT carnot_status carnot_build_onnx(const char* model_path, const char* engine_path, const char* device, char* message,
                                              size_t message_bytes);

#ifdef __cplusplus
}
#endif
#endif
