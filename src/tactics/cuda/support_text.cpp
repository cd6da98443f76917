// SPDX-License-Identifier: Apache-2.0
#include "tactics/cuda/support_text.hpp"

namespace carnot::tactics::cuda {

// The conversions are single instructions of sm_80 and later; cuda_fp16.h is not there on a machine without the toolkit.
std::string_view text_of_types() {
  return R"(#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
#endif
struct f16 { unsigned short bits; };
struct bf16 { unsigned short bits; };
struct b8 { unsigned char byte; };
#ifdef __CUDACC__
static __device__ __forceinline__ float f16_to_float(unsigned short h) { float f; asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h)); return f; }
static __device__ __forceinline__ unsigned short float_to_f16(float f) { unsigned short h; asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f)); return h; }
static __device__ __forceinline__ unsigned short float_to_bf16(float f) { unsigned short h; asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(f)); return h; }
#endif
static __device__ __forceinline__ float up(f16 x) { return f16_to_float(x.bits); }
static __device__ __forceinline__ float up(bf16 x) { return __int_as_float((int)((unsigned)x.bits << 16)); }
static __device__ __forceinline__ float up(float x) { return x; }
static __device__ __forceinline__ double up(double x) { return x; }
static __device__ __forceinline__ int up(b8 x) { return x.byte != 0; }
static __device__ __forceinline__ int up(signed char x) { return x; }
static __device__ __forceinline__ int up(unsigned char x) { return x; }
static __device__ __forceinline__ int up(short x) { return x; }
static __device__ __forceinline__ int up(unsigned short x) { return x; }
static __device__ __forceinline__ int up(int x) { return x; }
static __device__ __forceinline__ long long up(unsigned x) { return x; }
static __device__ __forceinline__ long long up(long long x) { return x; }
static __device__ __forceinline__ unsigned long long up(unsigned long long x) { return x; }
template <typename T> struct Down { template <typename C> static __device__ __forceinline__ T from(C x) { return (T)x; } };
template <> struct Down<f16> { static __device__ __forceinline__ f16 from(float x) { f16 y; y.bits = float_to_f16(x); return y; } };
template <> struct Down<bf16> { static __device__ __forceinline__ bf16 from(float x) { bf16 y; y.bits = float_to_bf16(x); return y; } };
template <> struct Down<b8> { template <typename C> static __device__ __forceinline__ b8 from(C x) { b8 y; y.byte = x != (C)0; return y; } };
template <typename T, typename C> static __device__ __forceinline__ T down(C x) { return Down<T>::from(x); }
template <typename T, int N> struct alignas(N * sizeof(T) > 16 ? 16 : N * sizeof(T)) Pack { T v[N]; };
template <int N, typename T> static __device__ __forceinline__ Pack<T, N> load(const T* p) { return *(const Pack<T, N>*)p; }
template <int N, typename T> static __device__ __forceinline__ void store(T* p, const Pack<T, N>& x) { *(Pack<T, N>*)p = x; }
template <int N, typename T> static __device__ __forceinline__ bool aligned(const T* p) { return ((unsigned long long)p & (N * sizeof(T) > 16 ? 15 : N * sizeof(T) - 1)) == 0; }
template <typename I> static __device__ __forceinline__ I quotient(I a, I b) { return sizeof(I) == 4 ? (I)((unsigned)a / (unsigned)b) : (I)((unsigned long long)a / (unsigned long long)b); }
)";
}

std::string_view text_of_pointwise() {
  return R"(namespace pw {
#define PW template <typename T> static __device__ __forceinline__ T
template <typename T> struct Kind { static const bool real = false, is_signed = true; };
template <> struct Kind<float> { static const bool real = true, is_signed = true; };
template <> struct Kind<double> { static const bool real = true, is_signed = true; };
template <> struct Kind<unsigned long long> { static const bool real = false, is_signed = false; };
PW select(bool mask, T a, T b) { return mask ? a : b; }
PW min(T a, T b) { return a != a ? a : (b < a || b != b) ? b : a; }
PW max(T a, T b) { return a != a ? a : (a < b || b != b) ? b : a; }
static __device__ __forceinline__ float abs(float x) { return ::fabsf(x); }
static __device__ __forceinline__ double abs(double x) { return ::fabs(x); }
PW abs(T x) { return x < T(0) ? T(0) - x : x; }
static __device__ __forceinline__ float div(float a, float b) { return a / b; }
static __device__ __forceinline__ double div(double a, double b) { return a / b; }
PW div(T a, T b) { return b == T(0) ? T(0) : Kind<T>::is_signed && b == T(-1) ? T(0) - a : a / b; }
static __device__ __forceinline__ float fmod(float a, float b) { return ::fmodf(a, b); }
static __device__ __forceinline__ double fmod(double a, double b) { return ::fmod(a, b); }
PW fmod(T a, T b) { return b == T(0) || (Kind<T>::is_signed && b == T(-1)) ? T(0) : a % b; }
PW mod(T a, T b) { const T r = pw::fmod(a, b); return r != T(0) && (r < T(0)) != (b < T(0)) ? r + b : r; }
static __device__ __forceinline__ float pow(float a, float b) { return ::powf(a, b); }
static __device__ __forceinline__ double pow(double a, double b) { return ::pow(a, b); }
PW pow(T a, T b) {
  if (b < T(0)) return a == T(1) ? T(1) : a == T(-1) ? (b % T(2) != T(0) ? T(-1) : T(1)) : T(0);
  unsigned long long y = 1, x = (unsigned long long)a;
  for (unsigned long long n = (unsigned long long)b; n != 0; n >>= 1, x *= x) if (n & 1) y *= x;
  return (T)y;
}
#define PW1(name) \
static __device__ __forceinline__ float name(float x) { return ::name##f(x); } \
static __device__ __forceinline__ double name(double x) { return ::name(x); }
PW1(floor) PW1(ceil) PW1(sqrt) PW1(exp) PW1(expm1) PW1(log) PW1(log1p) PW1(tanh) PW1(erf) PW1(sin) PW1(cos) PW1(tan)
PW1(asin) PW1(acos) PW1(atan) PW1(sinh) PW1(cosh) PW1(asinh) PW1(acosh) PW1(atanh)
static __device__ __forceinline__ float round(float x) { return ::rintf(x); }
static __device__ __forceinline__ double round(double x) { return ::rint(x); }
PW bit_and(T a, T b) { return a & b; }
PW bit_or(T a, T b) { return a | b; }
PW bit_xor(T a, T b) { return a ^ b; }
PW bit_not(T x) { return ~x; }
PW shift_left(T a, T b) { return b < T(0) || b >= T(sizeof(T) * 8) ? T(0) : (T)((unsigned long long)a << b); }
PW shift_right(T a, T b) { return b < T(0) || b >= T(sizeof(T) * 8) ? (a < T(0) ? T(-1) : T(0)) : a >> b; }
// To 64 bits as ONNX casts: towards zero, out of range saturates, NaN is 0.
PW to_i64(T x) { return x; }
static __device__ __forceinline__ long long to_i64(double x) {
  return x != x ? 0 : x >= 9223372036854775808.0 ? 0x7fffffffffffffffLL : x < -9223372036854775808.0 ? -0x7fffffffffffffffLL - 1 : (long long)x;
}
static __device__ __forceinline__ long long to_i64(float x) { return to_i64((double)x); }
static __device__ __forceinline__ unsigned long long to_u64(double x) {
  return x >= 18446744073709551616.0 ? ~0ULL : x >= 9223372036854775808.0 ? (unsigned long long)x : (unsigned long long)to_i64(x);
}
#undef PW1
#undef PW
}
)";
}

std::string_view text_of_reductions() {
  return R"(struct Sum { template <typename T> static __device__ __forceinline__ T of(T a, T b) { return a + b; } };
struct Max { template <typename T> static __device__ __forceinline__ T of(T a, T b) { return a != a ? a : (a < b || b != b) ? b : a; } };
struct Min { template <typename T> static __device__ __forceinline__ T of(T a, T b) { return a != a ? a : (b < a || b != b) ? b : a; } };
struct Prod { template <typename T> static __device__ __forceinline__ T of(T a, T b) { return a * b; } };
template <typename Op, int Width, typename T> static __device__ __forceinline__ T warp_fold(T x) {
  for (int step = Width / 2; step > 0; step /= 2) x = Op::of(x, __shfl_xor_sync(0xffffffffu, x, step));
  return x;
}
// All threads of a block of (Threads, 1) take part; each gets the result. Warps beyond the first leave theirs in shared memory.
template <typename Op, int Threads, typename T> static __device__ __forceinline__ T block_fold(T x, T none) {
  x = warp_fold<Op, 32>(x);
  if (Threads > 32) {
    __shared__ T parts[Threads / 32 > 0 ? Threads / 32 : 1];
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    x = (int)(threadIdx.x % 32) < Threads / 32 ? parts[threadIdx.x % 32] : none;
    x = warp_fold<Op, 32>(x);
  }
  return x;
}
// The threads of a block of (32, Rows) with the same threadIdx.x fold; each gets the result.
template <typename Op, int Rows, typename T> static __device__ __forceinline__ T column_fold(T x) {
  __shared__ T parts[Rows][33];
  __syncthreads();
  parts[threadIdx.y][threadIdx.x] = x;
  __syncthreads();
  x = parts[0][threadIdx.x];
  for (int i = 1; i < Rows; ++i) x = Op::of(x, parts[i][threadIdx.x]);
  return x;
}
)";
}

}  // namespace carnot::tactics::cuda
