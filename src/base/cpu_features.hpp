// SPDX-License-Identifier: Apache-2.0
// What this processor can execute, and how large its caches are. Asked once, cached, safe from any thread.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace carnot {

// The instruction sets that kernels are compiled for, each including the ones before.
enum class Isa : uint8_t {
  kScalar = 0,  // baseline x86-64 (SSE2)
  kAvx2 = 1,    // AVX2, FMA and F16C
  kAvx512 = 2,  // AVX-512 F, BW, DQ and VL
};

// "scalar", "avx2", "avx512".
std::string_view isa_name(Isa isa);

struct CpuFeatures {
  Isa isa = Isa::kScalar;     // the best the processor and the operating system allow
  int cores = 1;              // logical processors that this process may use
  int64_t l1d_bytes = 32768;  // of one core; likewise l2
  int64_t l2_bytes = 1 << 20;
  int64_t l3_bytes = 8 << 20;
};

const CpuFeatures& cpu_features();
// The maker's name for the processor, with its family, model and stepping: "AMD EPYC (26.2.1)".
std::string cpu_name();

// The instruction set that kernels are picked for: cpu_features().isa, lowered by the environment variable CARNOT_ISA
// (scalar, avx2 or avx512; read once; a level that the processor lacks, or an unknown word, changes nothing).
Isa kernel_isa();

}  // namespace carnot
