// SPDX-License-Identifier: Apache-2.0
#include "tactics/cuda/support_tile.hpp"

namespace carnot::tactics::cuda {
namespace {

// d += a (16 x 16, row-major) * b (16 x 8, column-major), fragments as PTX lays them out.
std::string text_of_mma(DType t) {
  const char* name = t == DType::kF16 ? "f16" : "bf16";
  return fmt::format(
      "static __device__ __forceinline__ void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {{\n#ifdef __CUDACC__\n"
      "  asm volatile(\"mma.sync.aligned.m16n8k16.row.col.f32.{}.{}.f32 {{%0,%1,%2,%3}}, {{%4,%5,%6,%7}}, {{%8,%9}}, {{%0,%1,%2,%3}};\"\n"
      "      : \"+f\"(d[0]), \"+f\"(d[1]), \"+f\"(d[2]), \"+f\"(d[3]) : \"r\"(a[0]), \"r\"(a[1]), \"r\"(a[2]), \"r\"(a[3]), \"r\"(b[0]), \"r\"(b[1]));\n"
      "#else\n  shim_mma(d, a, b, [](unsigned short h) {{ {} x; x.bits = h; return up(x); }});\n#endif\n}}\n",
      name, name, name);
}

int64_t known(const Dim& d, int64_t otherwise) { return d.is_constant() ? d.value() : otherwise; }

}  // namespace

std::vector<Config> Tile::configs(Effort effort) {
  std::vector<Config> out{Config{}};
  if (effort == Effort::kHeuristic) return out;
  for (const int64_t rows : {32, 64})
    for (const int64_t cols : {32, 64}) out.push_back({{"rows", rows}, {"cols", cols}});
  return out;
}

void Tile::choose(const Config& config) {
  if (const auto* wanted = find_attr<int64_t>(config, "rows")) {
    rows = static_cast<int>(*wanted);
    cols = static_cast<int>(attr_or<int64_t>(config, "cols", 64));
    return;
  }
  const int64_t mm = known(m, 512), nn = known(n, 512), blocks = ((mm + 63) / 64) * ((nn + 63) / 64) * known(batch, 1);
  rows = mm <= 32 || blocks < 200 ? 32 : 64;
  cols = nn <= 32 || blocks < 100 ? 32 : 64;
}

Grid Tile::grid() const { return {.x = batch * Dim::ceildiv(m, rows) * Dim::ceildiv(n, cols), .threads = 256}; }

std::string tile_text(Kernel& k, const Tile& t) {
  const std::string store = storage_type(t.dtype), acc = compute_type(t.dtype), m = k.value(t.m), n = k.value(t.n), depth = k.value(t.k);
  const int pack = t.pack(), rows = t.rows, cols = t.cols;
  // Packs of k in a tile: as many as keep two packs of each operand in flight in every thread.
  const int chunks = (rows == 64 || cols == 64 ? 8 : 16) / (dtype_size(t.dtype) == 8 ? 2 : 1);
  const int kt = chunks * pack, stride = t.tensor_cores() ? kt + 8 : 0;
  const std::string tiles_m = k.value(Dim::ceildiv(t.m, rows)), tiles_n = k.value(Dim::ceildiv(t.n, cols));
  const bool wide = t.tensor_cores();
  std::string s = fmt::format("  const int kPack = {}, kDepth = {};\n  const I block = (I)blockIdx.x, tile_rest = quotient<I>(block, {}), tile_n = block - tile_rest * {}, batch = quotient<I>(tile_rest, {}), tile_m = tile_rest - batch * {};\n",
                              pack, kt, tiles_n, tiles_n, tiles_m, tiles_m);
  s += fmt::format("  const I row0 = tile_m * {}, col0 = tile_n * {};\n  const int t = (int)threadIdx.x;\n", rows, cols);
  s += t.setup;
  if (wide) s += fmt::format("  __shared__ __align__(16) {} as[{}][{}], bs[{}][{}];\n", store, rows, stride, cols, stride);
  else s += fmt::format("  __shared__ __align__(16) {} as[{}][{}], bs[{}][{}];\n", acc, kt, rows + 4, kt, cols + 4);
  const int a_packs = (rows * chunks + 255) / 256, b_packs = (cols * chunks + 255) / 256;
  s += fmt::format("  Pack<{}, {}> ra[{}], rb[{}];\n", store, pack, a_packs, b_packs);
  // Where pack q of a tile lies.
  auto place = [&](bool fast_rows, int count) {
    return fast_rows ? fmt::format("const int r = q % {}, ch = q / {};", count, count) : fmt::format("const int r = q / {}, ch = q % {};", chunks, chunks);
  };
  auto fetch = [&](const char* reg, bool fast, int count, int packs, const std::string& body, const char* first, const std::string& limit, const char* name) {
    return fmt::format("#pragma unroll\n    for (int i = 0; i < {}; ++i) {{\n      const int q = t + i * 256;\n      {}\n      Pack<{}, {}> pack;\n#pragma unroll\n      for (int j = 0; j < {}; ++j) pack.v[j] = down<{}>(({})0);\n"
                       "      const I {} = {} + r, k0 = from + ch * {};\n      if (q < {} && {} < {} && k0 < {}) {{\n{}      }}\n      {}[i] = pack;\n    }}\n",
                       packs, place(fast, count), store, pack, pack, store, acc, name, first, pack, count * chunks, name, limit, depth, body, reg);
  };
  s += "  auto fetch = [&](const I from) {\n" + fetch("ra", t.a_fast_rows, rows, a_packs, t.a_pack, "row0", m, "row") + fetch("rb", t.b_fast_rows, cols, b_packs, t.b_pack, "col0", n, "col") + "  };\n";
  auto put = [&](const char* reg, const char* to, bool fast, int count, int packs) {
    const std::string how = wide ? fmt::format("*(Pack<{}, {}>*)&{}[r][ch * {}] = {}[i];", store, pack, to, pack, reg)
                                 : fmt::format("for (int j = 0; j < {}; ++j) {}[ch * {} + j][r] = up({}[i].v[j]);", pack, to, pack, reg);
    return fmt::format("#pragma unroll\n    for (int i = 0; i < {}; ++i) {{\n      const int q = t + i * 256;\n      {}\n      if (q < {}) {{\n        {}\n      }}\n    }}\n", packs, place(fast, count), count * chunks, how);
  };
  s += "  auto put = [&]() {\n" + put("ra", "as", t.a_fast_rows, rows, a_packs) + put("rb", "bs", t.b_fast_rows, cols, b_packs) + "  };\n";
  if (wide) {
    const int warps_m = rows / 16, warps_n = 8 / warps_m, frags = cols / warps_n / 8;
    k.helper("mma", text_of_mma(t.dtype));
    s += fmt::format("  const int warp = t / 32, lane = t % 32, wm = warp % {} * 16, wn = warp / {} * {}, g = lane / 4, p = lane % 4 * 2;\n  float sums[{}][4];\n", warps_m, warps_m, frags * 8, frags);
    s += fmt::format("#pragma unroll\n  for (int f = 0; f < {}; ++f) sums[f][0] = sums[f][1] = sums[f][2] = sums[f][3] = 0;\n", frags);
    s += fmt::format("  fetch(0);\n  for (I k0 = 0; k0 < {}; k0 += kDepth) {{\n    __syncthreads();\n    put();\n    __syncthreads();\n    if (k0 + kDepth < {}) fetch(k0 + kDepth);\n", depth, depth);
    s += fmt::format("#pragma unroll\n    for (int kk = 0; kk < kDepth; kk += 16) {{\n      const unsigned a[4] = {{*(const unsigned*)&as[wm + g][kk + p], *(const unsigned*)&as[wm + g + 8][kk + p], *(const unsigned*)&as[wm + g][kk + p + 8], *(const unsigned*)&as[wm + g + 8][kk + p + 8]}};\n"
                     "#pragma unroll\n      for (int f = 0; f < {}; ++f) {{\n        const unsigned b[2] = {{*(const unsigned*)&bs[wn + f * 8 + g][kk + p], *(const unsigned*)&bs[wn + f * 8 + g][kk + p + 8]}};\n        mma(sums[f], a, b);\n      }}\n    }}\n  }}\n", frags);
    s += fmt::format("#pragma unroll\n  for (int f = 0; f < {}; ++f)\n#pragma unroll\n    for (int i = 0; i < 4; ++i) {{\n      const I row = row0 + wm + g + i / 2 * 8, col = col0 + wn + f * 8 + p + i % 2;\n      if (row < {} && col < {}) {{\n", frags, m, n);
    s += fmt::format("        const I o = {}, c = {};\n        y[o] = finish(sums[f][i], o, c);\n      }}\n    }}\n", t.offset, t.channel);
  } else {
    const int mi = rows / 16, nj = cols / 16;
    s += fmt::format("  const int tx = t % 16 * {}, ty = t / 16 * {};\n  {} sums[{}][{}];\n#pragma unroll\n  for (int i = 0; i < {}; ++i)\n#pragma unroll\n    for (int j = 0; j < {}; ++j) sums[i][j] = 0;\n", nj, mi, acc, mi, nj, mi, nj);
    s += fmt::format("  fetch(0);\n  for (I k0 = 0; k0 < {}; k0 += kDepth) {{\n    __syncthreads();\n    put();\n    __syncthreads();\n    if (k0 + kDepth < {}) fetch(k0 + kDepth);\n", depth, depth);
    s += fmt::format("#pragma unroll 8\n    for (int kk = 0; kk < kDepth; ++kk) {{\n      {} a[{}], b[{}];\n#pragma unroll\n      for (int i = 0; i < {}; ++i) a[i] = as[kk][ty + i];\n#pragma unroll\n      for (int j = 0; j < {}; ++j) b[j] = bs[kk][tx + j];\n"
                     "#pragma unroll\n      for (int i = 0; i < {}; ++i)\n#pragma unroll\n        for (int j = 0; j < {}; ++j) sums[i][j] += a[i] * b[j];\n    }}\n  }}\n", acc, mi, nj, mi, nj, mi, nj);
    s += fmt::format("#pragma unroll\n  for (int i = 0; i < {}; ++i)\n#pragma unroll\n    for (int j = 0; j < {}; ++j) {{\n      const I row = row0 + ty + i, col = col0 + tx + j;\n      if (row < {} && col < {}) {{\n", mi, nj, m, n);
    s += fmt::format("        const I o = {}, c = {};\n        y[o] = finish(sums[i][j], o, c);\n      }}\n    }}\n", t.offset, t.channel);
  }
  return s;
}

}  // namespace carnot::tactics::cuda
