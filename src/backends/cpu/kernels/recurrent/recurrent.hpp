// SPDX-License-Identifier: Apache-2.0
// LSTM and GRU (its linear_before_reset form) with the usual activations over whole sequences in fp32. The products with x are one GEMM
// for all steps; each step is then one product with the state and the gates. Two directions run beside each other.
#pragma once
#include <cstdint>

#include "base/cpu_features.hpp"

namespace carnot {
class ThreadPool;
}

namespace carnot::cpu {

struct Recurrent {
  bool lstm = true;           // else gru
  int64_t directions = 1;     // 2: the second walks backwards
  bool reverse = false;       // with one direction
  int64_t time = 0, batch = 0, input = 0, hidden = 0;
  const float* x = nullptr;   // [time, batch, input]
  // Packed input -> gates*hidden and hidden -> gates*hidden (gemm/pack.hpp), one direction behind the other.
  const float* w = nullptr;
  const float* r = nullptr;
  const float* w_bias = nullptr;  // [directions, gates*hidden] on the products with x
  const float* r_bias = nullptr;  // gru: [directions, gates*hidden] on the products with the state
  const float* initial_h = nullptr;  // [directions, batch, hidden]; null: zeros
  const float* initial_c = nullptr;  // lstm alone
  // [batch], steps of each sequence in [0, time]; null: all. Behind its end y is 0, and a walk backwards begins at its end.
  const int32_t* lengths = nullptr;
  float* y = nullptr;                // [time, directions, batch, hidden]
  float* last_h = nullptr;           // [directions, batch, hidden]; null: not wanted
  float* last_c = nullptr;
  int64_t gates() const { return lstm ? 4 : 3; }
};
// Floats of scratch; 64-byte alignment is recommended.
int64_t recurrent_workspace(const Recurrent& problem);
void run_recurrent(const Recurrent& problem, float* workspace, ThreadPool& pool, Isa isa = kernel_isa());

}  // namespace carnot::cpu
