// SPDX-License-Identifier: Apache-2.0
// The recurrence of lstm and gru, one sequence and direction at a time. Large ones run in a cluster of blocks: every block keeps the
// weights of 32 hidden units in its registers; after each step it writes their new states into the shared memory of all blocks of the
// cluster. Small ones run in one block (run_alone).
//
// In a cluster 16 threads make one unit: thread 4 * gate + part multiplies a quarter of the state by the gate's weights. (gru leaves a gate idle.)
#pragma once

namespace recurrent {

struct Arguments {
  const float* x;        // [time][batch][directions][gates][hidden]: products with the inputs, and biases
  const float* r;        // [directions][gates][hidden][hidden]
  const float* r_bias;   // gru: [directions][gates][hidden], or null
  const float *h0, *c0;  // [directions][batch][units], or null
  float *y, *y_h, *y_c;  // [time][directions][batch][units], [directions][batch][units]; may be null
  int time, batch, directions, units;  // units: of the network; hidden is padded
  int first_reversed;                  // directions from this one on run backwards in time
};

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900

__device__ unsigned cluster_rank() {
  unsigned r;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
  return r;
}
__device__ void cluster_meet() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
// Writes into the shared memory of another block, at the place that `mine` has here.
__device__ void store_remote(float* mine, unsigned rank, float v) {
  unsigned local = static_cast<unsigned>(__cvta_generic_to_shared(mine)), there;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(local), "r"(rank));
  asm volatile("st.shared::cluster.f32 [%0], %1;" ::"r"(there), "f"(v) : "memory");
}

__device__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

template <bool kLstm, int kHidden>
__device__ void run(const Arguments& a) {
  constexpr int kGates = kLstm ? 4 : 3, kBlocks = kHidden / 32, kEach = kHidden / 4;
  __shared__ __align__(16) float state[2][kHidden];
  const int lane = threadIdx.x % 32, part = threadIdx.x % 4, gate = threadIdx.x / 4 % 4, first = lane & 16;
  const int rank = kBlocks > 1 ? static_cast<int>(cluster_rank()) : 0, unit = rank * 32 + threadIdx.x / 16;
  const int pair = blockIdx.x / kBlocks, direction = pair / a.batch, batch = pair % a.batch;
  const bool idle = gate >= kGates, real = unit < a.units;
  const int row = (direction * kGates + (idle ? 0 : gate)) * kHidden + unit;

  // Element j of part p is 16 * (j / 4) + 4 * p + j % 4, so that the parts of a gate read the state side by side.
  float w[kEach];
#pragma unroll
  for (int j = 0; j < kEach; j += 4) {
    const float4 v = *reinterpret_cast<const float4*>(a.r + static_cast<long long>(row) * kHidden + j * 4 + part * 4);
    w[j] = v.x, w[j + 1] = v.y, w[j + 2] = v.z, w[j + 3] = v.w;
  }
  const float bias = a.r_bias ? a.r_bias[row] : 0.f;
  const long long at = (static_cast<long long>(direction) * a.batch + batch) * a.units;
  for (int i = threadIdx.x; i < kHidden; i += blockDim.x) state[0][i] = a.h0 && i < a.units ? a.h0[at + i] : 0.f;
  float h = a.h0 && real ? a.h0[at + unit] : 0.f, c = a.c0 && real ? a.c0[at + unit] : 0.f;
  const bool reversed = direction >= a.first_reversed;
  const long long x_step = static_cast<long long>(a.batch) * a.directions * kGates * kHidden;
  const float* x = a.x + static_cast<long long>(batch) * a.directions * kGates * kHidden + row;
  auto moment = [&](int s) { return reversed ? a.time - 1 - s : s; };
  float from_x = a.time > 0 ? x[moment(0) * x_step] : 0.f;
  if (kBlocks > 1) cluster_meet();
  else __syncthreads();
  for (int s = 0; s < a.time; ++s) {
    const int now = s & 1;
    const float next_x = s + 1 < a.time ? x[moment(s + 1) * x_step] : 0.f;
    float sums[4] = {};
#pragma unroll
    for (int j = 0; j < kEach; j += 4) {
      const float4 v = *reinterpret_cast<const float4*>(&state[now][j * 4 + part * 4]);
      sums[0] += w[j] * v.x, sums[1] += w[j + 1] * v.y, sums[2] += w[j + 2] * v.z, sums[3] += w[j + 3] * v.w;
    }
    float sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    sum += bias;
    if constexpr (kLstm) {
      const float v = gate == 3 ? tanhf(sum + from_x) : sigmoid(sum + from_x);
      const float i = __shfl_sync(~0u, v, first), o = __shfl_sync(~0u, v, first + 4), f = __shfl_sync(~0u, v, first + 8), g = __shfl_sync(~0u, v, first + 12);
      c = f * c + i * g;
      h = o * tanhf(c);
    } else {
      const float v = sigmoid(sum + from_x);
      const float z = __shfl_sync(~0u, v, first), reset = __shfl_sync(~0u, v, first + 4);
      const float n = tanhf(__shfl_sync(~0u, from_x, first + 8) + reset * __shfl_sync(~0u, sum, first + 8));
      h = (1.f - z) * n + z * h;
    }
    const int me = lane % 16;
    if (kBlocks > 1) {
      if (me < kBlocks) store_remote(&state[1 - now][unit], me, h);
    } else if (me == 0) {
      state[1 - now][unit] = h;
    }
    if (me == 15 && real && a.y) a.y[((static_cast<long long>(moment(s)) * a.directions + direction) * a.batch + batch) * a.units + unit] = h;
    from_x = next_x;
    if (kBlocks > 1) cluster_meet();
    else __syncthreads();
  }
  if (lane % 16 == 0 && real) {
    if (a.y_h) a.y_h[at + unit] = h;
    if (a.y_c) a.y_c[at + unit] = c;
  }
}

// Hidden sizes whose weights the registers of one block hold: 4 threads make a unit, each all gates of a quarter of the state. Nothing
// leaves the block, so that a step costs a third of what a cluster's does.
template <bool kLstm, int kHidden>
__device__ void run_alone(const Arguments& a) {
  constexpr int kGates = kLstm ? 4 : 3, kEach = kHidden / 4;
  __shared__ __align__(16) float state[2][kHidden];
  const int part = threadIdx.x % 4, unit = threadIdx.x / 4;
  const int direction = blockIdx.x / a.batch, batch = blockIdx.x % a.batch;
  const bool real = unit < a.units;
  float w[kGates][kEach], bias[kGates], from_x[kGates];
  const long long x_step = static_cast<long long>(a.batch) * a.directions * kGates * kHidden;
  const float* x = a.x + (static_cast<long long>(batch) * a.directions + direction) * kGates * kHidden + unit;
  const bool reversed = direction >= a.first_reversed;
  auto moment = [&](int s) { return reversed ? a.time - 1 - s : s; };
#pragma unroll
  for (int g = 0; g < kGates; ++g) {
    const int row = (direction * kGates + g) * kHidden + unit;
    bias[g] = a.r_bias ? a.r_bias[row] : 0.f;
    from_x[g] = a.time > 0 ? x[moment(0) * x_step + g * kHidden] : 0.f;
#pragma unroll
    for (int j = 0; j < kEach; j += 4) {
      const float4 v = *reinterpret_cast<const float4*>(a.r + static_cast<long long>(row) * kHidden + j * 4 + part * 4);
      w[g][j] = v.x, w[g][j + 1] = v.y, w[g][j + 2] = v.z, w[g][j + 3] = v.w;
    }
  }
  const long long at = (static_cast<long long>(direction) * a.batch + batch) * a.units;
  for (int i = threadIdx.x; i < kHidden; i += blockDim.x) state[0][i] = a.h0 && i < a.units ? a.h0[at + i] : 0.f;
  float h = a.h0 && real ? a.h0[at + unit] : 0.f, c = a.c0 && real ? a.c0[at + unit] : 0.f;
  __syncthreads();
  for (int s = 0; s < a.time; ++s) {
    const int now = s & 1;
    float next_x[kGates], sums[kGates];
#pragma unroll
    for (int g = 0; g < kGates; ++g) {
      next_x[g] = s + 1 < a.time ? x[moment(s + 1) * x_step + g * kHidden] : 0.f;
      sums[g] = 0;
    }
#pragma unroll
    for (int j = 0; j < kEach; j += 4) {
      const float4 v = *reinterpret_cast<const float4*>(&state[now][j * 4 + part * 4]);
#pragma unroll
      for (int g = 0; g < kGates; ++g) sums[g] += w[g][j] * v.x + w[g][j + 1] * v.y + (w[g][j + 2] * v.z + w[g][j + 3] * v.w);
    }
#pragma unroll
    for (int g = 0; g < kGates; ++g) {
      sums[g] += __shfl_xor_sync(~0u, sums[g], 1);
      sums[g] += __shfl_xor_sync(~0u, sums[g], 2);
      sums[g] += bias[g];
    }
    if constexpr (kLstm) {
      c = sigmoid(sums[2] + from_x[2]) * c + sigmoid(sums[0] + from_x[0]) * tanhf(sums[3] + from_x[3]);
      h = sigmoid(sums[1] + from_x[1]) * tanhf(c);
    } else {
      const float z = sigmoid(sums[0] + from_x[0]), reset = sigmoid(sums[1] + from_x[1]);
      h = (1.f - z) * tanhf(from_x[2] + reset * sums[2]) + z * h;
    }
    if (part == 0) state[1 - now][unit] = h;
    if (part == 1 && real && a.y) a.y[((static_cast<long long>(moment(s)) * a.directions + direction) * a.batch + batch) * a.units + unit] = h;
#pragma unroll
    for (int g = 0; g < kGates; ++g) from_x[g] = next_x[g];
    __syncthreads();
  }
  if (part == 0 && real) {
    if (a.y_h) a.y_h[at + unit] = h;
    if (a.y_c) a.y_c[at + unit] = c;
  }
}

#else

// Blocks of older devices do not form clusters; the tactic refuses them.
template <bool kLstm, int kHidden>
__device__ void run(const Arguments&) {}
template <bool kLstm, int kHidden>
__device__ void run_alone(const Arguments&) {}

#endif

}  // namespace recurrent

#define RECURRENT(name, lstm, hidden) \
  extern "C" __global__ void __launch_bounds__(512) carnot_##name##_##hidden(recurrent::Arguments a) { recurrent::run<lstm, hidden>(a); }
#define RECURRENT_ALONE(name, lstm, hidden) \
  extern "C" __global__ void __launch_bounds__(hidden * 4) carnot_##name##_##hidden(recurrent::Arguments a) { recurrent::run_alone<lstm, hidden>(a); }
RECURRENT_ALONE(lstm, true, 32)
RECURRENT_ALONE(lstm, true, 64)
RECURRENT(lstm, true, 128)
RECURRENT(lstm, true, 256)
RECURRENT_ALONE(gru, false, 32)
RECURRENT_ALONE(gru, false, 64)
RECURRENT_ALONE(gru, false, 128)
RECURRENT(gru, false, 256)
