// SPDX-License-Identifier: Apache-2.0
#include "base/cpu_features.hpp"

#include <cpuid.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>

#include <fmt/format.h>

#include "base/env.hpp"

namespace carnot {
namespace {

int64_t cache_bytes(int name, int64_t fallback) {
  long bytes = sysconf(name);
  return bytes > 0 ? bytes : fallback;
}

CpuFeatures detect() {
  CpuFeatures f;
  // __builtin_cpu_supports also asks XGETBV whether the operating system saves the wide registers.
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) f.isa = Isa::kAvx2;
  if (f.isa == Isa::kAvx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    f.isa = Isa::kAvx512;
  cpu_set_t set;
  f.cores = sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(1, CPU_COUNT(&set)) : 1;
  f.l1d_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, f.l1d_bytes);
  f.l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, f.l2_bytes);
  f.l3_bytes = cache_bytes(_SC_LEVEL3_CACHE_SIZE, f.l3_bytes);
  return f;
}

Isa chosen() {
  Isa best = cpu_features().isa;
  const std::string wanted = env_text(EnvVar::kIsa);
  for (Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512})
    if (isa_name(isa) == wanted) return std::min(isa, best);
  return best;
}

}  // namespace

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "?";
}

std::string cpu_name() {
  unsigned words[12] = {}, a = 0, b = 0, c = 0, d = 0;
  char name[sizeof words + 1] = {};
  if (__get_cpuid(0x80000000, &a, &b, &c, &d) && a >= 0x80000004) {
    for (unsigned i = 0; i < 3; ++i) __get_cpuid(0x80000002 + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]);
    std::memcpy(name, words, sizeof words);
  }
  std::string text;
  for (const char* p = name; *p; ++p)
    if (*p > ' ' && *p < 127) text += *p;
    else if (!text.empty() && text.back() != ' ') text += ' ';
  while (!text.empty() && text.back() == ' ') text.pop_back();
  a = 0;
  __get_cpuid(1, &a, &b, &c, &d);
  const unsigned family = (a >> 8 & 15) + (a >> 20 & 255), model = (a >> 4 & 15) | (a >> 12 & 0xf0), stepping = a & 15;
  return fmt::format("{} ({}.{}.{})", text.empty() ? "x86-64" : text, family, model, stepping);
}

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

Isa kernel_isa() {
  static const Isa isa = chosen();
  return isa;
}

}  // namespace carnot
