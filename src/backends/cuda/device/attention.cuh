// SPDX-License-Identifier: Apache-2.0
// Attention with a mask: a warp keeps 16 queries and walks over keys, 32 at a time, with tensor cores and a running softmax. Operands go
// from memory straight into the registers that the tensor cores read. Which element of a head a lane holds does not matter for the scores,
// so long as q and k agree, nor which column of v it holds, so long as y does: each lane takes pieces of rows that adjoin.
//
// Blocks of 4 warps: either 64 queries (kSplit 1), or 16 queries whose keys are dealt out to the warps (kSplit 4), which fills the GPU
// when there is little to do.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace attention {

struct Operand {
  const void* data;
  long long batch_step, head_step, row_step;  // elements
};

struct Arguments {
  Operand q, k, v, y;
  const void* mask;
  int mask_kind;  // 0: none, 1: numbers of the operands' type, 2: float, 3: bool, keys with false score `fill`
  int mask_batch;
  long long mask_steps[4];
  int queries, keys, group;  // group: query heads for a key head
  int causal, causal_shift, zero_nan;
  float scale, fill;
};

template <typename T>
__device__ unsigned pack(float a, float b);
template <>
__device__ unsigned pack<__half>(float a, float b) {
  const __half2 v = __floats2half2_rn(a, b);
  return *reinterpret_cast<const unsigned*>(&v);
}
template <>
__device__ unsigned pack<__nv_bfloat16>(float a, float b) {
  const __nv_bfloat162 v = __floats2bfloat162_rn(a, b);
  return *reinterpret_cast<const unsigned*>(&v);
}

// c[16x8] += a[16x16] b[16x8]
template <typename T>
__device__ void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);
template <>
__device__ void multiply<__half>(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ void multiply<__nv_bfloat16>(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ float number(const __half* p) { return __half2float(*p); }
__device__ float number(const float* p) { return *p; }
__device__ float number(const unsigned char* p) { return *p; }
__device__ float number(const __nv_bfloat16* p) { return __bfloat162float(*p); }

// kCount elements of 2 bytes as words; their address is a multiple of their size, or of 8 bytes.
template <int kCount>
__device__ void load_words(unsigned (&to)[kCount / 2], const unsigned short* p, bool there) {
  constexpr int kStep = kCount % 8 == 0 ? 4 : 2;
#pragma unroll
  for (int i = 0; i < kCount / 2; i += kStep) {
    if constexpr (kStep == 4) {
      const uint4 v = there ? *reinterpret_cast<const uint4*>(p + 2 * i) : uint4{0, 0, 0, 0};
      to[i] = v.x, to[i + 1] = v.y, to[i + 2] = v.z, to[i + 3] = v.w;
    } else {
      const uint2 v = there ? *reinterpret_cast<const uint2*>(p + 2 * i) : uint2{0, 0};
      to[i] = v.x, to[i + 1] = v.y;
    }
  }
}

template <typename T, int kSize, int kSplit>
__device__ void run(const Arguments& a) {
  constexpr int kKeys = 32, kTiles = kSize / 8, kBlocks = kSize / 32;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  const int head = blockIdx.y, batch = blockIdx.z;
  const int first = kSplit == 1 ? (blockIdx.x * 4 + warp) * 16 : blockIdx.x * 16;
  const int row[2] = {first + g, first + g + 8};
  auto at = [&](const Operand& o, int h) { return static_cast<const unsigned short*>(o.data) + batch * o.batch_step + h * o.head_step; };
  const unsigned short* q = at(a.q, head);
  const unsigned short* k = at(a.k, head / a.group);
  const unsigned short* v = at(a.v, head / a.group);
  const long long mask_at = (batch % a.mask_batch) * a.mask_steps[0] + head * a.mask_steps[1];

  unsigned queries[kBlocks][2][4];  // [elements 32 at a time][row][words]
#pragma unroll
  for (int b = 0; b < kBlocks; ++b)
#pragma unroll
    for (int r = 0; r < 2; ++r) load_words<8>(queries[b][r], q + row[r] * a.q.row_step + b * 32 + t * 8, row[r] < a.queries);

  // The mask's numbers for the scores that the lane holds; outside of it any will do.
  auto read_mask = [&](float(&to)[4][4], const auto* mask, int from) {
    const long long last_key = a.keys - 1, last_query = a.queries - 1;
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const long long i = min(static_cast<long long>(row[e / 2]), last_query), j = min(static_cast<long long>(from + n * 8 + t * 2 + e % 2), last_key);
        to[n][e] = number(mask + mask_at + i * a.mask_steps[2] + j * a.mask_steps[3]);
      }
  };

  float out[kTiles][4] = {}, most[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
  const int reach = a.causal ? min(a.keys, first + 16 + a.causal_shift) : a.keys;
  for (int from = kSplit == 1 ? 0 : warp * kKeys; from < reach; from += kKeys * kSplit) {
    // Everything that this step reads is asked for before anything of it is used.
    unsigned key_words[4][kBlocks][4];
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int b = 0; b < kBlocks; ++b) load_words<8>(key_words[n][b], k + (from + n * 8 + g) * a.k.row_step + b * 32 + t * 8, from + n * 8 + g < a.keys);
    float bias[4][4] = {};
    if (a.mask_kind == 1) read_mask(bias, static_cast<const T*>(a.mask), from);
    if (a.mask_kind == 2) read_mask(bias, static_cast<const float*>(a.mask), from);
    if (a.mask_kind == 3) read_mask(bias, static_cast<const unsigned char*>(a.mask), from);
    constexpr int kAhead = kSize <= 64 ? 2 : 1;
    unsigned value_words[kAhead][4][kTiles / 2];
    auto read_values = [&](int h, unsigned (&w)[4][kTiles / 2]) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int key = from + h * 16 + t * 2 + i % 2 + i / 2 * 8;
        load_words<kTiles>(w[i], v + key * a.v.row_step + g * kTiles, key < a.keys);
      }
    };
    if constexpr (kAhead == 2) {
      read_values(0, value_words[0]);
      read_values(1, value_words[1]);
    }
    float s[4][4] = {};
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int b = 0; b < kBlocks; ++b) {
        const unsigned a0[4] = {queries[b][0][0], queries[b][1][0], queries[b][0][1], queries[b][1][1]};
        const unsigned a1[4] = {queries[b][0][2], queries[b][1][2], queries[b][0][3], queries[b][1][3]};
        multiply<T>(s[n], a0, key_words[n][b][0], key_words[n][b][1]);
        multiply<T>(s[n], a1, key_words[n][b][2], key_words[n][b][3]);
      }
    float top[2] = {most[0], most[1]};
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int r = e / 2, key = from + n * 8 + t * 2 + e % 2;
        float x = s[n][e] * a.scale;
        if (a.mask_kind == 3) x = bias[n][e] != 0 ? x : a.fill;
        else x += bias[n][e];
        if (key >= a.keys || (a.causal && key > row[r] + a.causal_shift)) x = -INFINITY;
        s[n][e] = x;
        top[r] = fmaxf(top[r], x);
      }
    float shrink[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      top[r] = fmaxf(top[r], __shfl_xor_sync(~0u, top[r], 1));
      top[r] = fmaxf(top[r], __shfl_xor_sync(~0u, top[r], 2));
      shrink[r] = top[r] == -INFINITY ? 1.f : __expf(most[r] - top[r]);
      most[r] = top[r];
      sum[r] *= shrink[r];
    }
#pragma unroll
    for (int n = 0; n < kTiles; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) out[n][e] *= shrink[e / 2];
    unsigned p[2][4];  // [keys 16 at a time][fragment]
#pragma unroll
    for (int n = 0; n < 4; ++n)
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float base = top[r] == -INFINITY ? 0.f : top[r];
        const float x = __expf(s[n][2 * r] - base), y = __expf(s[n][2 * r + 1] - base);
        sum[r] += x + y;
        p[n / 2][n % 2 * 2 + r] = pack<T>(x, y);
      }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      unsigned(&w)[4][kTiles / 2] = value_words[h % kAhead];
      if constexpr (kAhead == 1) read_values(h, w);
#pragma unroll
      for (int n = 0; n < kTiles; ++n) {
        const unsigned pick = n % 2 ? 0x7632 : 0x5410;
        multiply<T>(out[n], p[h], __byte_perm(w[0][n / 2], w[1][n / 2], pick), __byte_perm(w[2][n / 2], w[3][n / 2], pick));
      }
    }
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    sum[r] += __shfl_xor_sync(~0u, sum[r], 1);
    sum[r] += __shfl_xor_sync(~0u, sum[r], 2);
  }
  auto* y = const_cast<unsigned short*>(at(a.y, head));
  // Column t * 2 + c of tile n is element (t * 2 + c) * kTiles + n.
  auto store = [&](int r, const float (&columns)[2][kTiles], float total) {
    if (row[r] >= a.queries) return;
    const float inverse = a.zero_nan && !(total > 0) ? 0.f : 1.f / total;
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      unsigned* to = reinterpret_cast<unsigned*>(y + row[r] * a.y.row_step + (t * 2 + c) * kTiles);
#pragma unroll
      for (int n = 0; n < kTiles; n += 4) {
        float f[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) f[j] = a.zero_nan && !(total > 0) ? 0.f : columns[c][n + j] * inverse;
        *reinterpret_cast<uint2*>(to + n / 2) = uint2{pack<T>(f[0], f[1]), pack<T>(f[2], f[3])};
      }
    }
  };
  float columns[2][kTiles];
  if constexpr (kSplit == 1) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
#pragma unroll
      for (int n = 0; n < kTiles; ++n) columns[0][n] = out[n][2 * r], columns[1][n] = out[n][2 * r + 1];
      store(r, columns, sum[r]);
    }
  } else {
    // The warps' parts meet.
    __shared__ float tops[kSplit][16], sums[kSplit][16];
    __shared__ float parts[kSplit][16][kSize + 4];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      if (t == 0) tops[warp][g + 8 * r] = most[r], sums[warp][g + 8 * r] = sum[r];
#pragma unroll
      for (int n = 0; n < kTiles; ++n)
#pragma unroll
        for (int c = 0; c < 2; ++c) parts[warp][g + 8 * r][(t * 2 + c) * kTiles + n] = out[n][2 * r + c];
    }
    __syncthreads();
    // 4 rows a warp, 8 lanes a row.
    const int line = warp * 4 + lane / 8, part = lane % 8;
    if (first + line >= a.queries) return;
    float top = -INFINITY, total = 0, weight[kSplit];
#pragma unroll
    for (int w = 0; w < kSplit; ++w) top = fmaxf(top, tops[w][line]);
#pragma unroll
    for (int w = 0; w < kSplit; ++w) {
      weight[w] = top == -INFINITY ? 1.f : __expf(tops[w][line] - top);
      total += sums[w][line] * weight[w];
    }
    const bool blank = a.zero_nan && !(total > 0);
    const float inverse = 1.f / total;
    unsigned* to = reinterpret_cast<unsigned*>(y + (first + line) * a.y.row_step + part * kTiles);
#pragma unroll
    for (int n = 0; n < kTiles; n += 4) {
      float f[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        float x = 0;
#pragma unroll
        for (int w = 0; w < kSplit; ++w) x += parts[w][line][part * kTiles + n + j] * weight[w];
        f[j] = blank ? 0.f : x * inverse;
      }
      *reinterpret_cast<uint2*>(to + n / 2) = uint2{pack<T>(f[0], f[1]), pack<T>(f[2], f[3])};
    }
  }
}

}  // namespace attention

#define ATTENTION(suffix, T, size, split) \
  extern "C" __global__ void __launch_bounds__(128) carnot_attention_##suffix##_##size##_##split(attention::Arguments a) { attention::run<T, size, split>(a); }
#define ATTENTIONS(size)                    \
  ATTENTION(f16, __half, size, 1)           \
  ATTENTION(f16, __half, size, 4)           \
  ATTENTION(bf16, __nv_bfloat16, size, 1)   \
  ATTENTION(bf16, __nv_bfloat16, size, 4)
ATTENTIONS(32)
ATTENTIONS(64)
ATTENTIONS(96)
ATTENTIONS(128)
