// SPDX-License-Identifier: Apache-2.0
// What the libraries leave to do around their kernels: epilogues that none of their engines fuses, padding of inputs, the softmax
// between the two products of attention. Compiled into libcarnot_cuda.so for all architectures (kernels/own.hpp launches them).
#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace {

// The numbers of kernels/epilogue.hpp's Activation.
enum { kNone, kRelu, kLeakyRelu, kSigmoid, kSilu, kTanh, kGelu, kGeluTanh, kHardSigmoid, kHardSwish, kQuickGelu, kClip };

__device__ float activate(float x, int activation, float alpha, float beta) {
  switch (activation) {
    case kRelu: return x < 0 ? 0.f : x;
    case kLeakyRelu: return x < 0 ? alpha * x : x;
    case kSigmoid: return 1.f / (1.f + expf(-x));
    case kSilu: return x / (1.f + expf(-x));
    case kTanh: return tanhf(x);
    case kGelu: return 0.5f * x * (1.f + erff(x * 0.70710678118654752f));
    case kGeluTanh: return x / (1.f + expf(-1.59576912160573071f * (x + 0.044715f * x * x * x)));
    case kHardSigmoid: return fmaxf(0.f, fminf(1.f, alpha * x + beta));
    case kHardSwish: return x * fmaxf(0.f, fminf(1.f, alpha * x + beta));
    case kQuickGelu: return x / (1.f + expf(-1.702f * x));
    case kClip: return x < alpha ? alpha : (x > beta ? beta : x);
    default: return x;
  }
}

__device__ float load(const float* p) { return *p; }
__device__ float load(const __half* p) { return __half2float(*p); }
__device__ float load(const __nv_bfloat16* p) { return __bfloat162float(*p); }
__device__ void store(float* p, float v) { *p = v; }
__device__ void store(__half* p, float v) { *p = __float2half_rn(v); }
__device__ void store(__nv_bfloat16* p, float v) { *p = __float2bfloat16_rn(v); }

template <typename T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T v[kWidth];
};

// y = activation(y + bias[channel] + residual), or activation(y + bias) + residual. kWidth elements a thread, of one pixel.
template <typename T, int kWidth>
__device__ void epilogue(T* y, const T* bias, const T* residual, long long packs, int channel_packs, int activation, float alpha, float beta, int after) {
  const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= packs) return;
  using P = Pack<T, kWidth>;
  P values = reinterpret_cast<const P*>(y)[i], b, r;
  if (bias) b = reinterpret_cast<const P*>(bias)[i % channel_packs];
  if (residual) r = reinterpret_cast<const P*>(residual)[i];
#pragma unroll
  for (int k = 0; k < kWidth; ++k) {
    float v = load(&values.v[k]);
    if (bias) v += load(&b.v[k]);
    if (residual && !after) v += load(&r.v[k]);
    v = activate(v, activation, alpha, beta);
    if (residual && after) v += load(&r.v[k]);
    store(&values.v[k], v);
  }
  reinterpret_cast<P*>(y)[i] = values;
}

// x[n][d][h][w][c] with zeros around it and behind its channels: y[n][D][H][W][C], x at (pd, ph, pw).
template <typename T>
__device__ void stage(const T* x, T* y, long long count, int d, int h, int w, int c, int D, int H, int W, int C, int pd, int ph, int pw) {
  const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int k = static_cast<int>(i % C);
  long long rest = i / C;
  const int iw = static_cast<int>(rest % W) - pw;
  rest /= W;
  const int ih = static_cast<int>(rest % H) - ph;
  rest /= H;
  const int id = static_cast<int>(rest % D) - pd;
  const long long n = rest / D;
  const bool inside = k < c && iw >= 0 && iw < w && ih >= 0 && ih < h && id >= 0 && id < d;
  y[i] = inside ? x[(((n * d + id) * h + ih) * w + iw) * c + k] : T(0);
}

// The pixels that each output pixel of a convolution reads, side by side: y[pixel][tap][channel], zeros where they lie outside. T holds
// one or four channels, of which a pixel has `channels`.
struct Columns {
  int in[3], out[3], kernel[3], stride[3], dilation[3], before[3], channels;
};
template <typename T>
__device__ void columns(const T* x, T* y, long long count, const Columns& a) {
  const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int c = static_cast<int>(i % a.channels);
  long long rest = i / a.channels;
  int tap[3], at[3];
  for (int d = 2; d >= 0; --d) tap[d] = static_cast<int>(rest % a.kernel[d]), rest /= a.kernel[d];
  for (int d = 2; d >= 0; --d) at[d] = static_cast<int>(rest % a.out[d]), rest /= a.out[d];
  long long from = rest;
  bool inside = true;
  for (int d = 0; d < 3; ++d) {
    const int p = at[d] * a.stride[d] + tap[d] * a.dilation[d] - a.before[d];
    inside = inside && p >= 0 && p < a.in[d];
    from = from * a.in[d] + p;
  }
  y[i] = inside ? x[from * a.channels + c] : T{};
}

__device__ float warp_max(float v) {
  for (int step = 16; step; step /= 2) v = fmaxf(v, __shfl_xor_sync(~0u, v, step));
  return v;
}
__device__ float warp_sum(float v) {
  for (int step = 16; step; step /= 2) v += __shfl_xor_sync(~0u, v, step);
  return v;
}

// probabilities[row] = softmax(scores[row] + mask), one warp a row of [batch][heads][queries]; strides of the mask in elements, 0 where
// it repeats; its batch repeats after mask_batch. mask_kind 0: none, 1: numbers of type T, 2: float, 3: bool, keys with false get `fill`. Key j of query i
// counts only while j <= i + causal_shift.
template <typename T>
__device__ void softmax(const float* scores, T* out, const void* mask, long long rows, int heads, int queries, int keys, int mask_kind, int mask_batch,
                        long long sb, long long sh, long long sq, long long sk, float fill, int causal, int causal_shift, int zero_nan) {
  const long long row = (static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
  const int lane = threadIdx.x % 32;
  if (row >= rows) return;
  const int query = static_cast<int>(row % queries);
  const int head = static_cast<int>(row / queries % heads);
  const long long batch = row / queries / heads;
  const long long mask_at = (batch % mask_batch) * sb + head * sh + query * sq;
  const float* in = scores + row * keys;
  auto score = [&](int j) {
    if (causal && j > query + causal_shift) return -INFINITY;
    float v = in[j];
    if (mask_kind == 1) v += load(static_cast<const T*>(mask) + mask_at + j * sk);
    if (mask_kind == 2) v += static_cast<const float*>(mask)[mask_at + j * sk];
    if (mask_kind == 3 && !static_cast<const unsigned char*>(mask)[mask_at + j * sk]) v = fill;
    return v;
  };
  float top = -INFINITY;
  for (int j = lane; j < keys; j += 32) top = fmaxf(top, score(j));
  top = warp_max(top);
  float sum = 0;
  for (int j = lane; j < keys; j += 32) sum += expf(score(j) - top);
  sum = warp_sum(sum);
  const float inverse = 1.f / sum;
  for (int j = lane; j < keys; j += 32) {
    float p = expf(score(j) - top) * inverse;
    if (zero_nan && p != p) p = 0;
    store(out + row * keys + j, p);
  }
}

}  // namespace

#define EPILOGUE(suffix, T, width)                                                                                                        \
  extern "C" __global__ void carnot_epilogue_##suffix##_##width(T* y, const T* bias, const T* residual, long long packs, int channel_packs, \
                                                                int activation, float alpha, float beta, int after) {                      \
    epilogue<T, width>(y, bias, residual, packs, channel_packs, activation, alpha, beta, after);                                           \
  }
EPILOGUE(f32, float, 1)
EPILOGUE(f32, float, 4)
EPILOGUE(f16, __half, 1)
EPILOGUE(f16, __half, 8)
EPILOGUE(bf16, __nv_bfloat16, 1)
EPILOGUE(bf16, __nv_bfloat16, 8)

#define STAGE(bytes, T)                                                                                                                \
  extern "C" __global__ void carnot_stage_##bytes(const T* x, T* y, long long count, int d, int h, int w, int c, int D, int H, int W, int C, \
                                                  int pd, int ph, int pw) {                                                             \
    stage(x, y, count, d, h, w, c, D, H, W, C, pd, ph, pw);                                                                             \
  }
STAGE(2, unsigned short)
STAGE(4, unsigned)

extern "C" __global__ void carnot_columns_2(const unsigned short* x, unsigned short* y, long long count, Columns a) { columns(x, y, count, a); }
extern "C" __global__ void carnot_columns_8(const uint2* x, uint2* y, long long count, Columns a) { columns(x, y, count, a); }
extern "C" __global__ void carnot_columns_4(const float* x, float* y, long long count, Columns a) { columns(x, y, count, a); }
extern "C" __global__ void carnot_columns_16(const float4* x, float4* y, long long count, Columns a) { columns(x, y, count, a); }

#define SOFTMAX(suffix, T)                                                                                                                      \
  extern "C" __global__ void carnot_softmax_##suffix(const float* scores, T* out, const void* mask, long long rows, int heads, int queries, int keys, \
                                                     int mask_kind, int mask_batch, long long sb, long long sh, long long sq, long long sk,      \
                                                     float fill, int causal, int causal_shift, int zero_nan) {                                   \
    softmax(scores, out, mask, rows, heads, queries, keys, mask_kind, mask_batch, sb, sh, sq, sk, fill, causal, causal_shift, zero_nan);         \
  }
SOFTMAX(f32, float)
SOFTMAX(f16, __half)
SOFTMAX(bf16, __nv_bfloat16)

#include "attention.cuh"
#include "recurrent.cuh"
