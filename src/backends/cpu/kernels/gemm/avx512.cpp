// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/gemm/body.hpp"

// Only this instruction set's rows of the table.
#define CARNOT_GEMM_KERNEL(isa, name, rows, panels) CARNOT_GEMM_FOR_##name(rows, panels)
#define CARNOT_GEMM_FOR_sse2(rows, panels)
#define CARNOT_GEMM_FOR_avx2(rows, panels)
#define CARNOT_GEMM_FOR_avx512(rows, panels)
#undef CARNOT_GEMM_FOR_avx512
#define CARNOT_GEMM_FOR_avx512(rows, panels) CARNOT_GEMM_KERNEL_HERE(rows, panels)
#include "backends/cpu/kernels/gemm/kernels.inc"

}  // namespace carnot::cpu::CARNOT_SIMD_ISA
