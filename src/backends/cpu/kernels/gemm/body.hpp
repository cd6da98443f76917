// SPDX-License-Identifier: Apache-2.0
// The tile kernel of contract.hpp, written once and compiled for each instruction set (see base/simd/vec.hpp).
#include "backends/cpu/kernels/gemm/activate.hpp"
#include "backends/cpu/kernels/gemm/contract.hpp"

namespace carnot::cpu::CARNOT_SIMD_ISA {
namespace {

constexpr int kPerPanel = 16 / kLanes;

// kAhead: with prefetching; an instruction that fetches nothing new still costs up to a tenth.
template <typename B, int kRows, int kVectors, bool kAhead>
void tile(const Tile& t) {
  F32 acc[kRows][kVectors];
  const bool full = t.cols == kVectors * kLanes;
  if (t.accumulate) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        const float* p = t.c + r * t.ldc + v * kLanes;
        acc[r][v] = full ? load(p) : load_n(p, t.cols > v * kLanes ? t.cols - v * kLanes : 0);
      }
  } else {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      F32 x = zero();
      if (t.bias)
        x = full ? load(t.bias + v * kLanes)
                 : load_n(t.bias + v * kLanes, t.cols > v * kLanes ? t.cols - v * kLanes : 0);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) acc[r][v] = x;
    }
  }

  const int64_t depth = t.depth, b_stride = t.b_stride, b_step = t.b_step;
  [[maybe_unused]] const char* ahead = static_cast<const char*>(t.prefetch);
  [[maybe_unused]] const int64_t ahead_step = t.prefetch_step;
  for (int64_t tap = 0; tap < t.taps; ++tap) {
    const float* a[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) a[r] = t.a[tap * t.a_stride + r] + t.a_offset;
    const B* b = static_cast<const B*>(t.b) + t.b_offsets[tap];
    for (int64_t k = 0; k < depth; ++k, b += b_step) {
      if constexpr (kAhead) {
        __builtin_prefetch(ahead, 0, 2);
        ahead += ahead_step;
      }
      F32 bv[kVectors];
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) bv[v] = load(b + (v / kPerPanel) * b_stride + (v % kPerPanel) * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const F32 av = set1(a[r][k]);
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(av, bv[v], acc[r][v]);
      }
    }
  }

  const bool clamp = t.last && (t.activation == Activation::kRelu || t.activation == Activation::kClip);
  const bool later = t.last && t.activation != Activation::kNone && !clamp;
  // Residual before the activation, or after one that is done here.
  const bool add_before = t.last && t.residual && !t.residual_after;
  const bool add_after = t.last && t.residual && t.residual_after && !later;
  const F32 lo = set1(t.activation == Activation::kClip ? t.alpha : 0.f);
  const F32 hi = set1(t.activation == Activation::kClip ? t.beta : __builtin_inff());
  if (full) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      if (add_before) {
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) acc[r][v] = acc[r][v] + load(t.residual + r * t.ld_residual + v * kLanes);
      }
      if (clamp) {
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) acc[r][v] = min(hi, max(lo, acc[r][v]));
      }
      if (add_after) {
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) acc[r][v] = acc[r][v] + load(t.residual + r * t.ld_residual + v * kLanes);
      }
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) store(t.c + r * t.ldc + v * kLanes, acc[r][v]);
    }
  } else {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      if (v * kLanes >= t.cols) break;
      const Mask m = mask_first(t.cols - v * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        F32 x = acc[r][v];
        if (add_before) x = x + load_mask(t.residual + r * t.ld_residual + v * kLanes, m);
        if (clamp) x = min(hi, max(lo, x));
        if (add_after) x = x + load_mask(t.residual + r * t.ld_residual + v * kLanes, m);
        store_mask(t.c + r * t.ldc + v * kLanes, x, m);
      }
    }
  }
  if (later)
    activate_block(t.c, t.ldc, kRows, t.cols, t.activation, t.alpha, t.beta, t.residual_after ? t.residual : nullptr,
                   t.ld_residual);
}

template <typename B, int kRows, int kPanels>
void run_panels(const Tile& t) {
  if constexpr (kPanels > 1) {
    if (t.cols <= (kPanels - 1) * 16) return run_panels<B, kRows, kPanels - 1>(t);
  }
  // Blocks of so few rows that a tile has fewer than 4 are one tile, which leaves no other to fetch for.
  if constexpr (kRows >= 4 && kPanels < 4) {
    if (t.prefetch_step != 0) return tile<B, kRows, kPanels * kPerPanel, true>(t);
  }
  tile<B, kRows, kPanels * kPerPanel, false>(t);
}
template <typename B, int kRows, int kPanels>
void run_rows(const Tile& t) {
  if constexpr (kRows > 1) {
    if (t.rows < kRows) return run_rows<B, kRows - 1, kPanels>(t);
  }
  run_panels<B, kRows, kPanels>(t);
}
template <int kRows, int kPanels>
void run_type(const Tile& t) {
  if (t.b_type == DType::kF16) return run_rows<simd::Half, kRows, kPanels>(t);
  if (t.b_type == DType::kBF16) return run_rows<simd::Brain, kRows, kPanels>(t);
  run_rows<float, kRows, kPanels>(t);
}

}  // namespace

#define CARNOT_GEMM_KERNEL_HERE(rows, panels) \
  void gemm_##rows##x##panels(const Tile& t); \
  void gemm_##rows##x##panels(const Tile& t) { run_type<rows, panels>(t); }
