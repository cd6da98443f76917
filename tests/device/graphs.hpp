// SPDX-License-Identifier: Apache-2.0
// Small graphs that between them need everything a device's engine has.
#pragma once

namespace carnot::test {

inline constexpr char kDense[] = R"(graph main(%x: f32[n,64], %r: f32[n,32]) {
  %w = constant f32[64,32] random {1}
  %b = constant f32[32] random {2}
  %m = matmul %x, %w : f32[n,32]
  %a = add %m, %b : f32[n,32]
  %g = gelu %a : f32[n,32]
  %z = add %g, %r : f32[n,32]
  %q = layer_normalization %z, %b, %b : f32[n,32]
  %s = softmax %q : f32[n,32]
  return %s "s", %z "z"
})";

inline constexpr char kImage[] = R"(graph main(%x: f32[n,3,h,w]) {
  %k = constant f32[8,3,3,3] random {1}
  %b = constant f32[8] random {2}
  %d = constant f32[8,1,3,3] random {3}
  %c = conv(pads=[1,1,1,1], strides=[2,2]) %x, %k, %b : f32[n,8,floordiv(h+1,2),floordiv(w+1,2)]
  %y = relu %c : f32[n,8,floordiv(h+1,2),floordiv(w+1,2)]
  %e = conv(pads=[1,1,1,1], group=8) %y, %d : f32[n,8,floordiv(h+1,2),floordiv(w+1,2)]
  %f = add %e, %y : f32[n,8,floordiv(h+1,2),floordiv(w+1,2)]
  %p = max_pool(kernel_shape=[2,2], strides=[2,2]) %f : f32[n,8,floordiv(h+1,4),floordiv(w+1,4)]
  %g = global_average_pool %p : f32[n,8,1,1]
  return %p "p", %g "g"
})";

// Views, moves, shape arithmetic on the host that the device's commands need nothing of.
inline constexpr char kMoves[] = R"(graph main(%x: f32[n,6,8], %i: i64[3]) {
  %line = constant i64[2] {-1, 48}
  %one = constant i64[] {1}
  %t = transpose(perm=[0,2,1]) %x : f32[n,8,6]
  %v = reshape %t, %line : f32[n,48]
  %u, %o = split(axis=1, num_outputs=2) %v : f32[n,24], f32[n,24]
  %j = concat(axis=1) %o, %u, %o : f32[n,72]
  %q = gather(axis=1) %j, %i : f32[n,3]
  %k = cumsum %q, %one : f32[n,3]
  return %j "j", %k "k"
})";

// Sizes that only the run knows.
inline constexpr char kSizes[] = R"(graph main(%x: f32[n,4], %count: i64[]) {
  %from = constant i64[] {-2}
  %step = constant i64[] {1}
  %zero = constant f32[] {0.25}
  %axis = constant i64[1] {1}
  %s = reduce_sum(keepdims=0) %x, %axis : f32[n]
  %m = greater %s, %zero : bool[n]
  %p = nonzero %m : i64[1,$0]
  %flat = constant i64[1] {-1}
  %q = reshape %p, %flat : i64[$0]
  %rows = gather(axis=0) %x, %q : f32[$0,4]
  %e = exp %rows : f32[$0,4]
  %line = range %from, %count, %step : i64[$1]
  %d = add %line, %line : i64[$1]
  return %e "e", %q "q", %d "d"
})";

// A loop whose body works on the device, with a captured value and results that are stacked.
inline constexpr char kLoop[] = R"(graph main(%x: f32[n,16], %trips: i64[]) {
  %w = constant f32[16,16] random {1}
  %c = constant bool[] {true}
  %start = tanh %x : f32[n,16]
  %y, %all = loop(num_carried=1) %trips, %c, %start, %w, %x {
    graph body(%i: i64[], %go: bool[], %h: f32[n,16], %v: f32[16,16], %u: f32[n,16]) {
      %m = matmul %h, %v : f32[n,16]
      %a = add %m, %u : f32[n,16]
      %t = tanh %a : f32[n,16]
      return %go, %t, %a
    }
  } : f32[n,16], f32[$0,n,16]
  %z = exp %y : f32[n,16]
  return %z "z", %all "all"
})";

inline constexpr char kIf[] = R"(graph main(%x: f32[n,16], %c: bool[]) {
  %a = exp %x : f32[n,16]
  %y = if %c, %a, %x {
    graph then(%p: f32[n,16], %q: f32[n,16]) {
      %s = add %p, %q : f32[n,16]
      %t = tanh %s : f32[n,16]
      return %t
    }
    graph else(%p: f32[n,16], %q: f32[n,16]) {
      %s = sub %p, %q : f32[n,16]
      return %s
    }
  } : f32[n,16]
  %z = neg %y : f32[n,16]
  return %z "z"
})";

// Outputs that are inputs, constants, views, the same value twice, integers, bools.
inline constexpr char kOutputs[] = R"(graph main(%x: f32[n,4], %i: i64[n]) {
  %k = constant f32[3] {1, 2, 3}
  %e = exp %x : f32[n,4]
  %line = constant i64[1] {-1}
  %v = reshape %e, %line : f32[4*n]
  %zero = constant f32[] {0}
  %m = greater %x, %zero : bool[n,4]
  %d = add %i, %i : i64[n]
  %h = cast(to=f16) %e : f16[n,4]
  return %x "x_again", %k "k", %e "e", %e "e_again", %v "v", %m "m", %d "d", %h "h"
})";

// Two results of 1 MiB for each n, of which little comes back.
inline constexpr char kLarge[] = R"(graph main(%x: f32[n,1], %i: i64[2]) {
  %shape = constant i64[2] {1, 262144}
  %a = expand %x, %shape : f32[n,262144]
  %b = transpose(perm=[1,0]) %a : f32[262144,n]
  %s = gather(axis=0) %b, %i : f32[2,n]
  return %s "s"
})";

}  // namespace carnot::test
