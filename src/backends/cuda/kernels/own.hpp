// SPDX-License-Identifier: Apache-2.0
// Launches the kernels of device/fused.cu.
#pragma once
#include <cuda.h>

#include "backends/cuda/kernels/attention_graph.hpp"
#include "backends/cuda/kernels/epilogue.hpp"
#include "base/dtype.hpp"

namespace carnot::cuda {

// y[elements], pixels of `channels` each: y = activation(y + bias + residual), or with residual_after activation(y + bias) + residual.
// bias and residual may be null; all are of type `dtype` (f32, f16, bf16).
Status launch_epilogue(CUstream stream, DType dtype, void* y, const void* bias, const void* residual, int64_t elements, int64_t channels,
                       const Epilogue& epilogue);

// Copies x[batch][in...][channels] into y[batch][out...][out_channels], x at `before`, zeros elsewhere.
struct Staging {
  int64_t batch = 1, channels = 1, out_channels = 1;
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, before[3] = {0, 0, 0};
};
Status launch_stage(CUstream stream, DType dtype, const void* x, void* y, const Staging& staging);

// What a convolution reads for each of its `pixels` output pixels: y[pixels][taps][channels], x channels-last.
struct Columns {
  size_t element = 4;  // bytes: 2 or 4
  int64_t pixels = 0, channels = 1;
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1}, kernel[3] = {1, 1, 1}, stride[3] = {1, 1, 1}, dilation[3] = {1, 1, 1}, before[3] = {0, 0, 0};
};
Status launch_columns(CUstream stream, const void* x, void* y, const Columns& columns);

// probabilities = softmax(scores + mask) over the keys, of [batch][heads][queries][keys]. Scores are f32.
struct MaskedSoftmax {
  int64_t batch = 1, heads = 1, queries = 1, keys = 1;
  const void* mask = nullptr;
  DType mask_dtype = DType::kInvalid;      // the probabilities' own, f32, or bool: keys with false score `fill`
  int64_t mask_batch = 1;                  // the mask's batch repeats after so many
  int64_t mask_strides[4] = {0, 0, 0, 0};  // elements; 0 where it repeats
  float fill = 0;
  bool causal = false, zero_nan = false;
  int64_t causal_shift = 0;  // query i sees keys up to i + causal_shift
};
Status launch_softmax(CUstream stream, DType dtype, const float* scores, void* probabilities, const MaskedSoftmax& softmax);

// Attention in one launch, the mask and its kin as in MaskedSoftmax; f16 and bf16, heads of 32, 64, 96 or 128 elements that adjoin.
// `alignment`: of all operands, in bytes.
bool can_launch_attention(const Attention& attention, int alignment);
Status launch_attention(CUstream stream, const Attention& attention, const MaskedSoftmax& softmax, const void* q, const void* k, const void* v, void* y);

// The steps of an lstm or gru, from what the inputs give to each; device/recurrent.cuh says how the operands lie. From sm_90 on.
struct Recurrence {
  bool lstm = true;
  int64_t hidden = 0, units = 0, time = 0, batch = 0, directions = 1, first_reversed = 1;
  const float *x = nullptr, *r = nullptr, *r_bias = nullptr, *h0 = nullptr, *c0 = nullptr;
  float *y = nullptr, *y_h = nullptr, *y_c = nullptr;
};
Status launch_recurrence(CUstream stream, const Recurrence& recurrence);

}  // namespace carnot::cuda
