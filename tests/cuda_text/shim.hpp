// SPDX-License-Identifier: Apache-2.0
// Runs CUDA text on the host: generated kernels are compiled as C++ behind this header. The threads of a block are fibers that take
// turns at barriers and shuffles; blocks run one after the other. Memory behaves as on a device that loses nothing: races that need
// real concurrency are not found, a thread that misses a barrier is.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static
#define __restrict__
#define __align__(n) __attribute__((aligned(n)))

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
namespace {

dim3 threadIdx, blockIdx, blockDim, gridDim;

// ---- fibers ----------------------------------------------------------------------------------------------------------------
constexpr size_t kStack = 128 << 10;

// Saves what a call must keep, and goes on where `to` stopped.
__attribute__((naked, noinline)) void switch_stack(void** /*from*/, void* /*to*/) {
  asm("push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
      "mov %rsp, (%rdi)\n"
      "mov %rsi, %rsp\n"
      "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\n"
      "ret\n");
}

struct Barrier {
  int alive = 0, arrived = 0;
  long generation = 0;
};
struct Fiber {
  void* stack_pointer = nullptr;
  char* stack = nullptr;
  dim3 index;
  int linear = 0;
  bool done = false;
  const Barrier* waits_for = nullptr;
  long generation = 0;
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<Barrier> warps;
  std::vector<uint64_t> slots;  // what shuffles exchange
  Barrier all;
  void* scheduler = nullptr;
  Fiber* current = nullptr;
  void (*entry)(const uint64_t*) = nullptr;
  const uint64_t* args = nullptr;
  ~Block() {
    for (Fiber& f : fibers) free(f.stack);
  }
} block;

void leave() { switch_stack(&block.current->stack_pointer, block.scheduler); }

void arrive(Barrier& b) {
  if (++b.arrived >= b.alive) {
    b.arrived = 0;
    ++b.generation;
    return;
  }
  block.current->waits_for = &b;
  block.current->generation = b.generation;
  leave();
}
void depart(Barrier& b) {
  if (--b.alive > 0 && b.arrived >= b.alive) {
    b.arrived = 0;
    ++b.generation;
  }
}

// What a kernel that gives up throws.
struct Trap {};
bool trapped = false;

void fiber_main() {
  try {
    block.entry(block.args);
  } catch (const Trap&) {
    trapped = true;
  }
  block.current->done = true;
  depart(block.all);
  depart(block.warps[static_cast<size_t>(block.current->linear / 32)]);
  leave();
  abort();
}

bool run_block(int threads) {
  block.all = {threads, 0, 0};
  block.warps.assign(static_cast<size_t>(threads + 31) / 32, {});
  block.slots.assign(static_cast<size_t>(threads + 31) / 32 * 32, 0);
  for (int t = 0; t < threads; ++t) ++block.warps[static_cast<size_t>(t / 32)].alive;
  while (block.fibers.size() < static_cast<size_t>(threads)) {
    Fiber f;
    f.stack = static_cast<char*>(aligned_alloc(64, kStack));
    block.fibers.push_back(f);
  }
  for (int t = 0; t < threads; ++t) {
    Fiber& f = block.fibers[static_cast<size_t>(t)];
    f.linear = t;
    f.index = {static_cast<unsigned>(t) % blockDim.x, static_cast<unsigned>(t) / blockDim.x % blockDim.y, static_cast<unsigned>(t) / (blockDim.x * blockDim.y)};
    f.done = false;
    f.waits_for = nullptr;
    // As if called: six registers, the address to return to, and a stack that is 8 off 16 there.
    auto** top = reinterpret_cast<void**>(f.stack + kStack - 64);
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(&fiber_main);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    f.stack_pointer = top;
  }
  for (int left = threads; left > 0;) {
    bool moved = false;
    for (int t = 0; t < threads; ++t) {
      Fiber& f = block.fibers[static_cast<size_t>(t)];
      if (f.done || (f.waits_for && f.waits_for->generation == f.generation)) continue;
      f.waits_for = nullptr;
      block.current = &f;
      threadIdx = f.index;
      switch_stack(&block.scheduler, f.stack_pointer);
      moved = true;
      left -= f.done;
    }
    if (!moved) return false;
  }
  return true;
}

}  // namespace

// ---- what kernels call -----------------------------------------------------------------------------------------------------
static inline void __syncthreads() { arrive(block.all); }
static inline void __syncwarp(unsigned = 0xffffffffu) { arrive(block.warps[static_cast<size_t>(block.current->linear / 32)]); }

template <typename T>
static T exchange(T value, int from) {
  const int warp = block.current->linear / 32 * 32;
  static_assert(sizeof(T) <= 8);
  std::memcpy(&block.slots[static_cast<size_t>(block.current->linear)], &value, sizeof(T));
  __syncwarp();
  T got;
  std::memcpy(&got, &block.slots[static_cast<size_t>(warp + from)], sizeof(T));
  __syncwarp();
  return got;
}
static inline int lane_of_thread() { return block.current->linear % 32; }
template <typename T>
static T __shfl_sync(unsigned, T x, int from, int width = 32) {
  return exchange(x, lane_of_thread() / width * width + from % width);
}
template <typename T>
static T __shfl_xor_sync(unsigned, T x, int mask, int = 32) {
  return exchange(x, lane_of_thread() ^ mask);
}
template <typename T>
static T __shfl_down_sync(unsigned, T x, int by, int width = 32) {
  const int lane = lane_of_thread();
  return exchange(x, lane % width + by < width ? lane + by : lane);
}
template <typename T>
static T __shfl_up_sync(unsigned, T x, int by, int width = 32) {
  const int lane = lane_of_thread();
  return exchange(x, lane % width >= by ? lane - by : lane);
}

static inline unsigned __ballot_sync(unsigned, bool mask) {
  const int warp = block.current->linear / 32 * 32;
  block.slots[static_cast<size_t>(block.current->linear)] = mask;
  __syncwarp();
  unsigned bits = 0;
  for (int i = 0; i < 32; ++i) bits |= static_cast<unsigned>(block.slots[static_cast<size_t>(warp + i)] & 1) << i;
  __syncwarp();
  return bits;
}
static inline int __ffs(unsigned x) { return __builtin_ffs(static_cast<int>(x)); }

static inline float __int_as_float(int i) {
  float f;
  std::memcpy(&f, &i, 4);
  return f;
}
static inline int __float_as_int(float f) {
  int i;
  std::memcpy(&i, &f, 4);
  return i;
}
// libm has such names of its own.
#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __fdividef(a, b) ((a) / (b))
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline double rsqrt(double x) { return 1 / std::sqrt(x); }

static inline float f16_to_float(unsigned short h) {
  _Float16 x;
  std::memcpy(&x, &h, 2);
  return static_cast<float>(x);
}
static inline unsigned short float_to_f16(float f) {
  const auto x = static_cast<_Float16>(f);
  unsigned short h;
  std::memcpy(&h, &x, 2);
  return h;
}
static inline unsigned short float_to_bf16(float f) {
  const auto bits = static_cast<unsigned>(__float_as_int(f));
  if (f != f) return static_cast<unsigned short>(bits >> 16 | 64);
  return static_cast<unsigned short>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// mma.m16n8k16: every thread hands its fragments to the warp, and sums up its own four elements.
template <typename Up>
static void shim_mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], Up up) {
  static unsigned shared_a[32][32][4], shared_b[32][32][2];  // by warp and lane
  const int warp = block.current->linear / 32, lane = lane_of_thread();
  std::memcpy(shared_a[warp][lane], a, sizeof(a));
  std::memcpy(shared_b[warp][lane], b, sizeof(b));
  __syncwarp();
  auto element = [&](const unsigned* words, int word, int half) { return up(static_cast<unsigned short>(words[word] >> (16 * half))); };
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + i / 2 * 8, col = lane % 4 * 2 + i % 2;
    for (int k = 0; k < 16; ++k) {
      const float x = element(shared_a[warp][row % 8 * 4 + k % 8 / 2], row / 8 + k / 8 * 2, k % 2);
      const float w = element(shared_b[warp][col * 4 + k % 8 / 2], k / 8, k % 2);
      d[i] += x * w;
    }
  }
  __syncwarp();
}

template <typename T>
static T atomicAdd(T* p, T x) {
  const T old = *p;
  *p = old + x;
  return old;
}
template <typename T>
static T atomicCAS(T* p, T expected, T x) {
  const T old = *p;
  if (old == expected) *p = x;
  return old;
}
static inline void __threadfence() {}
static inline void __trap() { throw Trap(); }

// ---- launch ----------------------------------------------------------------------------------------------------------------
// Arguments are 8 bytes each; more than the entry takes does no harm in this calling convention. False: threads wait for each other
// for ever, or one gave up.
static void* shim_entry;
template <size_t... I>
static void call_with(const uint64_t* a, std::index_sequence<I...>) {
  reinterpret_cast<void (*)(decltype(uint64_t(a[I]))...)>(shim_entry)(a[I]...);
}
static void call_entry(const uint64_t* a) { call_with(a, std::make_index_sequence<40>()); }
static void call_long_entry(const uint64_t* a) { call_with(a, std::make_index_sequence<255>()); }
extern "C" bool shim_launch(void* entry, const int64_t* grid, const int64_t* threads, const uint64_t* args, size_t count, bool fibers) {
  shim_entry = entry;
  trapped = false;
  gridDim = {static_cast<unsigned>(grid[0]), static_cast<unsigned>(grid[1]), static_cast<unsigned>(grid[2])};
  blockDim = {static_cast<unsigned>(threads[0]), static_cast<unsigned>(threads[1]), static_cast<unsigned>(threads[2])};
  block.entry = count > 40 ? &call_long_entry : &call_entry;
  block.args = args;
  for (unsigned z = 0; z < gridDim.z; ++z)
    for (unsigned y = 0; y < gridDim.y; ++y)
      for (unsigned x = 0; x < gridDim.x; ++x) {
        blockIdx = {x, y, z};
        if (fibers) {
          if (!run_block(static_cast<int>(threads[0] * threads[1] * threads[2])) || trapped) return false;
          continue;
        }
        for (unsigned tz = 0; tz < blockDim.z; ++tz)
          for (unsigned ty = 0; ty < blockDim.y; ++ty)
            for (unsigned tx = 0; tx < blockDim.x; ++tx) {
              threadIdx = {tx, ty, tz};
              try {
                block.entry(args);
              } catch (const Trap&) {
                return false;
              }
            }
      }
  return true;
}
