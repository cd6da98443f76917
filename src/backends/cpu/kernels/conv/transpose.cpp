// SPDX-License-Identifier: Apache-2.0
// Transposed convolution by phases: output pixels whose position has the same remainder modulo the stride meet the same
// kernel positions, so each phase of an output row is an ordinary product with the taps of that phase, and nothing is
// scattered or added up twice.
#include "backends/cpu/kernels/conv/internal.hpp"

namespace carnot::cpu {
namespace {

constexpr int64_t kPointerFloats = sizeof(const float*) / sizeof(float);

// The input position that kernel position k brings to output o, or -1.
int64_t source(const Conv& c, int dim, int64_t o, int64_t k) {
  const int64_t at = o + c.pad[dim] - k * c.dilation[dim];
  if (at < 0 || at % c.stride[dim] != 0 || at / c.stride[dim] >= c.in[dim]) return -1;
  return at / c.stride[dim];
}

struct Scratch {
  int64_t zeros, offsets, table;
  explicit Scratch(const Conv& c)
      : zeros(align_floats(c.in_channels)),
        offsets(align_floats(2 * volume(c.kernel))),
        table(align_floats(kPointerFloats * volume(c.kernel) * ceil_div(c.out[2], c.stride[2]))) {}
  int64_t floats(int threads) const { return zeros + threads * (offsets + table); }
};

}  // namespace

int64_t packed_transpose_weights_size(const Conv& c) {
  return packed_conv_size(c.out_channels, c.in_channels, volume(c.kernel), c.groups);
}
void pack_transpose_weights(const Conv& c, const float* w, float* packed) {
  pack_conv_transpose(w, c.out_channels, c.in_channels, volume(c.kernel), c.groups, packed);
}
size_t conv_transpose_workspace(const Conv& c, int threads) {
  return size_t(Scratch(c).floats(threads)) * sizeof(float);
}

void run_conv_transpose(const Conv& c, void* workspace, ThreadPool& pool, Isa isa) {
  if (c.batch * volume(c.out) == 0 || c.out_channels == 0) return;
  const Scratch scratch(c);
  float* zeros = static_cast<float*>(workspace);
  std::fill(zeros, zeros + c.in_channels, 0.f);
  const int64_t ic = c.in_channels / c.groups, oc = c.out_channels / c.groups, taps = volume(c.kernel);

  const int64_t rows = c.batch * c.out[0] * c.out[1];
  // Few rows are cut by columns of panels as well, so that all threads have work.
  const int64_t group_pairs = ceil_div(oc, 2 * kPanel);
  const int64_t col_tasks = std::clamp<int64_t>(ceil_div(2 * pool.threads(), rows), 1, group_pairs);
  const int64_t task_cols = ceil_div(group_pairs, col_tasks) * 2 * kPanel;
  pool.parallel_for(rows * col_tasks, [&](int64_t task, int worker) {
    float* mine = zeros + scratch.zeros + worker * (scratch.offsets + scratch.table);
    int64_t* offsets = reinterpret_cast<int64_t*>(mine);
    const float** table = reinterpret_cast<const float**>(mine + scratch.offsets);
    const int64_t row = task / col_tasks, col0 = task % col_tasks * task_cols, col1 = std::min(oc, col0 + task_cols);
    if (col0 >= oc) return;
    const int64_t n = row / (c.out[0] * c.out[1]), od = row / c.out[1] % c.out[0], oh = row % c.out[1];
    const int64_t pixel = row * c.out[2];
    for (int64_t phase = 0; phase < std::min(c.stride[2], c.out[2]); ++phase) {
      const int64_t count = ceil_div(c.out[2] - phase, c.stride[2]);
      int64_t used = 0;
      for (int64_t kd = 0; kd < c.kernel[0]; ++kd) {
        const int64_t id = source(c, 0, od, kd);
        if (id < 0) continue;
        for (int64_t kh = 0; kh < c.kernel[1]; ++kh) {
          const int64_t ih = source(c, 1, oh, kh);
          if (ih < 0) continue;
          for (int64_t kw = 0; kw < c.kernel[2]; ++kw) {
            const int64_t shift = phase + c.pad[2] - kw * c.dilation[2];
            if (shift % c.stride[2] != 0) continue;
            const int64_t first = shift / c.stride[2];  // input position of the phase's first pixel, of either sign
            const float* line = c.x + ((n * c.in[0] + id) * c.in[1] + ih) * c.in[2] * c.ldx;
            for (int64_t i = 0; i < count; ++i) {
              const int64_t iw = first + i;
              table[used * count + i] = iw >= 0 && iw < c.in[2] ? line + iw * c.ldx : zeros;
            }
            offsets[used++] = ((kd * c.kernel[1] + kh) * c.kernel[2] + kw) * ic * kPanel;
          }
        }
      }
      for (int64_t g = 0; g < c.groups; ++g) {
        Epilogue epilogue = c.epilogue;
        epilogue.post = nullptr;
        if (epilogue.bias) epilogue.bias += g * oc;
        if (epilogue.residual) epilogue.residual += (pixel + phase) * epilogue.ld_residual + g * oc;
        epilogue.ld_residual *= c.stride[2];
        Block block;
        block.isa = isa;
        block.a = table;
        block.a_stride = count;
        block.a_offset = g * ic;
        block.rows = count;
        block.taps = used;
        block.depth = ic;
        block.b_type = c.w_type;
        block.b = weights_at(c, g * packed_size(taps * ic, oc));
        block.b_offsets = offsets;
        block.b_stride = taps * ic * kPanel;
        block.col0 = col0;
        block.col1 = col1;
        block.c = c.y + (pixel + phase) * c.ldy + g * oc;
        block.ldc = c.stride[2] * c.ldy;
        block.epilogue = &epilogue;
        run_block(block);
      }
    }
    if (!c.epilogue.post) return;
    for (int64_t g = 0; g < c.groups; ++g) {
      // One call for all groups if they adjoin.
      const int64_t cols = col_tasks == 1 ? c.out_channels : col1 - col0;
      c.epilogue.post(c.epilogue.post_ctx, c.y + pixel * c.ldy + g * oc + col0, c.ldy, pixel, c.out[2], g * oc + col0,
                      cols);
      if (col_tasks == 1) break;
    }
  });
}

}  // namespace carnot::cpu
