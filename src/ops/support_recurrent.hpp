// SPDX-License-Identifier: Apache-2.0
// What lstm, gru and rnn share: attribute and shape checks, activation functions, and the walk over directions, batch
// and time.
#pragma once
#include <functional>
#include <span>

#include "ops/support_check.hpp"

namespace carnot::ops {

// Inputs: 0 x, 1 w, 2 r, 3 b?, 4 sequence_lens?, 5 initial_h?, and for lstm 6 initial_c?, 7 p?.
struct RecurrentAttrs {
  std::span<const std::string> activations;  // empty: the defaults
  std::span<const double> alpha, beta;
  std::optional<double> clip;
  std::string_view direction;  // "forward", "reverse", "bidirectional"
  std::optional<int64_t> hidden_size;
  int64_t layout = 0;  // 1: batch before time
};

// Facts of y, y_h and (lstm) y_c. `gates`: rows of w and r in multiples of the hidden size.
Result<Facts> recurrent_facts(const RecurrentAttrs& attrs, const OpInfo& info, const InferCtx& ctx, int64_t gates,
                              bool cell, std::span<const std::string_view> default_activations);

// One step of one sequence. Everything is of one direction; gate k's numbers start at k * hidden.
struct RecurrentStep {
  size_t hidden;
  std::span<const std::function<double(double)>> activations;  // with clipping inside
  std::span<const double> from_x;                              // w @ x_t + input half of b
  std::span<const double> from_h;                              // r @ h + recurrent half of b
  std::span<const double> r;                                   // [gates * hidden, hidden]
  std::span<const double> r_bias;                              // [gates * hidden]
  std::span<const double> peepholes;                           // [3 * hidden], zeros if absent
  std::span<double> h, c;                                      // state, in and out; c is empty but for lstm
};
Status run_recurrent(const RecurrentAttrs& attrs, EvalCtx& ctx, int64_t gates, bool cell,
                     std::span<const std::string_view> default_activations,
                     const std::function<void(const RecurrentStep&)>& step);

}  // namespace carnot::ops
