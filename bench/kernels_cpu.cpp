// SPDX-License-Identifier: Apache-2.0
// Times the convolution and matrix kernels on the layers of known networks, and what share of the multiply-add peak
// they reach.
//
//   kernels_cpu [threads] [filter]      CARNOT_ISA=avx2 picks the instruction set
//
// Each line is the minimum over a tenth of a second, weights and activations warm; "in turn" runs the layers one after
// the other as a network would, each with its own weights. The peak is measured by the best inner kernel on data in the
// first-level cache, one thread, times the threads.
#include <sched.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "backends/cpu/kernels/conv/conv.hpp"
#include "backends/cpu/kernels/gemm/contract.hpp"
#include "backends/cpu/kernels/gemm/gemm.hpp"
#include "backends/cpu/kernels/gemm/pack.hpp"
#include "base/threads.hpp"

using namespace carnot;
using namespace carnot::cpu;

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

template <typename Fn>
double fastest(const Fn& fn, double seconds) {
  fn();
  double best = 1e9;
  const double start = now();
  for (int i = 0; i < 5 || now() - start < seconds; ++i) {
    const double t = now();
    fn();
    best = std::min(best, now() - t);
  }
  return best;
}

struct Bench {
  ThreadPool pool;
  std::string filter;
  double peak = 0;
  double total_seconds = 0, total_flops = 0;
  std::vector<std::function<void()>> network;  // every layer since the last total, as often as the network has it

  Bench(int threads, const char* filter) : pool(threads), filter(filter) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    if (pool.callers_cpu() < 0) return;
    CPU_SET(pool.callers_cpu(), &cpus);
    sched_setaffinity(0, sizeof cpus, &cpus);
  }

  void measure_peak() {
    const int64_t depth = 256;
    const std::vector<float> a(size_t(16 * depth), 0.5f), b(size_t(8 * 16 * depth), 0.25f);
    std::vector<float> c(16 * 128);
    const float* rows[16];
    for (int r = 0; r < 16; ++r) rows[r] = a.data() + r * depth;
    const int64_t offset = 0;
    for (auto [k, end] = gemm_kernels(); k != end; ++k) {
      if (k->isa != kernel_isa()) continue;
      const Tile t{.a = rows,
                   .a_stride = 16,
                   .b = b.data(),
                   .b_offsets = &offset,
                   .b_stride = depth * 16,
                   .taps = 1,
                   .depth = depth,

                   .c = c.data(),
                   .ldc = 128,
                   .rows = k->rows,
                   .cols = k->panels * 16};
      const double s = fastest(
                           [&] {
                             for (int i = 0; i < 100; ++i) k->run(t);
                           },
                           0.1) /
                       100;
      const double flops = 2.0 * double(depth * t.rows * t.cols) / s;
      std::printf("%-14s %7.1f GF/s\n", k->name, flops * 1e-9);
      peak = std::max(peak, flops * pool.threads());
    }
    std::printf("peak of %d threads: %.1f GF/s (%s)\n\n", pool.threads(), peak * 1e-9,
                std::string(isa_name(kernel_isa())).c_str());
  }

  void report(const std::string& name, int times, double flops, double bytes, double seconds) {
    std::printf("%-44s x%-2d %9.1f us %8.1f GF/s %5.1f %% %7.1f GB/s\n", name.c_str(), times, seconds * 1e6,
                flops / seconds * 1e-9, 100 * flops / seconds / peak, bytes / seconds * 1e-9);
    total_seconds += times * seconds;
    total_flops += times * flops;
  }
  void total(const char* name) {
    if (total_seconds > 0)
      std::printf("%-44s     %9.1f us %8.1f GF/s %5.1f %%\n", name, total_seconds * 1e6,
                  total_flops / total_seconds * 1e-9, 100 * total_flops / total_seconds / peak);
    if (!network.empty() && total_seconds > 0) {
      const double s = fastest(
          [&] {
            for (auto& layer : network) layer();
          },
          0.5);
      std::printf("%-44s     %9.1f us %8.1f GF/s %5.1f %%\n\n", (std::string(name) + ", in turn").c_str(), s * 1e6,
                  total_flops / s * 1e-9, 100 * total_flops / s / peak);
    }
    network.clear();
    total_seconds = total_flops = 0;
  }

  void conv(const char* net, int64_t size, int64_t ic, int64_t oc, int64_t kernel, int64_t stride, int times,
            int64_t groups = 1, Activation activation = Activation::kRelu) {
    const std::string name = std::string(net) + " " + std::to_string(size) + "x" + std::to_string(size) + " " +
                             std::to_string(ic) + "->" + std::to_string(oc) + " k" + std::to_string(kernel) + " s" +
                             std::to_string(stride) + " g" + std::to_string(groups);
    if (name.find(filter) == std::string::npos) return;
    const int64_t pad = (kernel - 1) / 2, out = (size + 2 * pad - kernel) / stride + 1;
    Conv c{.in_channels = ic,
           .out_channels = oc,
           .groups = groups,
           .in = {1, size, size},
           .out = {1, out, out},
           .kernel = {1, kernel, kernel},
           .stride = {1, stride, stride},
           .pad = {0, pad, pad}};
    const std::vector<float> x(size_t(size * size * ic), 0.5f);
    // Random and scaled so that the values of a whole network stay in range: infinities would slow it down.
    std::vector<float> w(size_t(oc * (ic / groups) * kernel * kernel));
    std::minstd_rand random(1);
    const float scale = std::sqrt(6.f / float(ic / groups * kernel * kernel));
    for (float& v : w) v = scale * (2 * float(random()) / float(random.max()) - 1);
    const std::vector<float> bias(size_t(oc), 0.01f);
    std::vector<float> packed(size_t(packed_weights_size(c))), y(size_t(out * out * oc));
    std::vector<char> scratch(conv_workspace(c, pool.threads()) + 64);
    pack_weights(c, w.data(), packed.data());
    c.x = x.data(), c.ldx = ic, c.w = packed.data(), c.y = y.data(), c.ldy = oc;
    c.epilogue.bias = bias.data();
    c.epilogue.activation = activation;
    const double s = fastest([&] { run_conv(c, scratch.data(), pool); }, 0.1);
    report(name, times, 2.0 * double(out * out * oc * (ic / groups) * kernel * kernel),
           4.0 * double(x.size() + w.size() + y.size()), s);
    // With weights of its own, and the activations as the layer before left them: in two buffers in turn.
    for (int i = 0; i < times; ++i)
      network.push_back([this, c, packed, bias, scratch]() mutable {
        c.x = activations[network_step % 2].data();
        c.y = activations[++network_step % 2].data();
        c.w = packed.data();
        c.epilogue.bias = bias.data();
        run_conv(c, scratch.data(), pool);
      });
  }
  std::vector<float> activations[2] = {std::vector<float>(4 << 20, 0.01f), std::vector<float>(4 << 20, 0.01f)};
  int network_step = 0;

  void gemm(const char* net, int64_t m, int64_t n, int64_t k, int times, Activation activation = Activation::kNone) {
    const std::string name =
        std::string(net) + " " + std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
    if (name.find(filter) == std::string::npos) return;
    const std::vector<float> a(size_t(m * k), 0.5f), w(size_t(packed_size(k, n)), 0.25f), bias(size_t(n), 1.f);
    std::vector<float> y(size_t(m * n));
    Gemm g{.m = m, .n = n, .k = k, .a = a.data(), .lda = k, .b = w.data(), .c = y.data(), .ldc = n};
    g.epilogue.bias = bias.data();
    g.epilogue.activation = activation;
    const double s = fastest([&] { run_gemm(g, pool); }, 0.1);
    report(name, times, 2.0 * double(m * n * k), 4.0 * double(a.size() + w.size() + y.size()), s);
  }

  // heads products of s x s x d (queries by keys) and s x d x s (probabilities by values), as slices of [s][heads * d].
  void attention(const char* net, int64_t s, int64_t heads, int64_t d, int times) {
    const int64_t ld = heads * d;
    const std::vector<float> q(size_t(s * ld), 0.5f), k(size_t(s * ld), 0.5f), p(size_t(heads * s * s), 0.1f);
    std::vector<float> scores(size_t(heads * s * s)), out(size_t(s * ld));
    BatchedMatmul qk{.m = s,
                     .n = s,
                     .k = d,
                     .batch = {1, 1, 1, heads},
                     .a = q.data(),
                     .a_row = ld,
                     .a_batch = {0, 0, 0, d},
                     .b = k.data(),
                     .b_row = 1,
                     .b_col = ld,
                     .b_batch = {0, 0, 0, d},
                     .c = scores.data(),
                     .c_row = s,
                     .c_batch = {0, 0, 0, s * s},
                     .scale = 0.125f};
    BatchedMatmul pv{.m = s,
                     .n = d,
                     .k = s,
                     .batch = {1, 1, 1, heads},
                     .a = p.data(),
                     .a_row = s,
                     .a_batch = {0, 0, 0, s * s},
                     .b = k.data(),
                     .b_row = ld,
                     .b_batch = {0, 0, 0, d},
                     .c = out.data(),
                     .c_row = ld,
                     .c_batch = {0, 0, 0, d}};
    for (const auto& [what, matmul] : {std::pair{" QK^T ", &qk}, {" PV ", &pv}}) {
      const std::string name =
          net + std::string(what) + std::to_string(heads) + "x" + std::to_string(s) + "x" + std::to_string(d);
      if (name.find(filter) == std::string::npos) continue;
      std::vector<char> scratch(matmul_workspace(*matmul, pool.threads()) + 64);
      const double seconds = fastest([&] { run_matmul(*matmul, scratch.data(), pool); }, 0.1);
      report(name, times, 2.0 * double(heads * s * s * d), 4.0 * double(2 * s * ld + heads * s * s), seconds);
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  Bench b(argc > 1 ? std::atoi(argv[1]) : 0, argc > 2 ? argv[2] : "");
  b.measure_peak();

  b.conv("resnet50", 224, 3, 64, 7, 2, 1);
  b.conv("resnet50", 56, 64, 64, 1, 1, 1);
  b.conv("resnet50", 56, 64, 64, 3, 1, 3);
  b.conv("resnet50", 56, 64, 256, 1, 1, 4);
  b.conv("resnet50", 56, 256, 64, 1, 1, 2);
  b.conv("resnet50", 56, 256, 128, 1, 1, 1);
  b.conv("resnet50", 56, 128, 128, 3, 2, 1);
  b.conv("resnet50", 56, 256, 512, 1, 2, 1);
  b.conv("resnet50", 28, 128, 512, 1, 1, 4);
  b.conv("resnet50", 28, 512, 128, 1, 1, 3);
  b.conv("resnet50", 28, 128, 128, 3, 1, 3);
  b.conv("resnet50", 28, 512, 256, 1, 1, 1);
  b.conv("resnet50", 28, 256, 256, 3, 2, 1);
  b.conv("resnet50", 28, 512, 1024, 1, 2, 1);
  b.conv("resnet50", 14, 256, 1024, 1, 1, 6);
  b.conv("resnet50", 14, 1024, 256, 1, 1, 5);
  b.conv("resnet50", 14, 256, 256, 3, 1, 5);
  b.conv("resnet50", 14, 1024, 512, 1, 1, 1);
  b.conv("resnet50", 14, 512, 512, 3, 2, 1);
  b.conv("resnet50", 14, 1024, 2048, 1, 2, 1);
  b.conv("resnet50", 7, 512, 2048, 1, 1, 3);
  b.conv("resnet50", 7, 2048, 512, 1, 1, 2);
  b.conv("resnet50", 7, 512, 512, 3, 1, 2);
  b.total("resnet50: 53 convolutions");

  const auto clip = Activation::kRelu;
  b.conv("mobilenet_v2", 224, 3, 32, 3, 2, 1, 1, clip);
  b.conv("mobilenet_v2", 112, 32, 32, 3, 1, 1, 32, clip);
  b.conv("mobilenet_v2", 112, 32, 16, 1, 1, 1);
  b.conv("mobilenet_v2", 112, 16, 96, 1, 1, 1, 1, clip);
  b.conv("mobilenet_v2", 112, 96, 96, 3, 2, 1, 96, clip);
  b.conv("mobilenet_v2", 56, 96, 24, 1, 1, 1);
  b.conv("mobilenet_v2", 56, 24, 144, 1, 1, 2, 1, clip);
  b.conv("mobilenet_v2", 56, 144, 144, 3, 1, 1, 144, clip);
  b.conv("mobilenet_v2", 56, 144, 24, 1, 1, 1);
  b.conv("mobilenet_v2", 56, 144, 144, 3, 2, 1, 144, clip);
  b.conv("mobilenet_v2", 28, 144, 32, 1, 1, 1);
  b.conv("mobilenet_v2", 28, 32, 192, 1, 1, 3, 1, clip);
  b.conv("mobilenet_v2", 28, 192, 192, 3, 1, 2, 192, clip);
  b.conv("mobilenet_v2", 28, 192, 32, 1, 1, 2);
  b.conv("mobilenet_v2", 28, 192, 192, 3, 2, 1, 192, clip);
  b.conv("mobilenet_v2", 14, 192, 64, 1, 1, 1);
  b.conv("mobilenet_v2", 14, 64, 384, 1, 1, 4, 1, clip);
  b.conv("mobilenet_v2", 14, 384, 384, 3, 1, 4, 384, clip);
  b.conv("mobilenet_v2", 14, 384, 64, 1, 1, 3);
  b.conv("mobilenet_v2", 14, 384, 96, 1, 1, 1);
  b.conv("mobilenet_v2", 14, 96, 576, 1, 1, 3, 1, clip);
  b.conv("mobilenet_v2", 14, 576, 576, 3, 1, 2, 576, clip);
  b.conv("mobilenet_v2", 14, 576, 96, 1, 1, 2);
  b.conv("mobilenet_v2", 14, 576, 576, 3, 2, 1, 576, clip);
  b.conv("mobilenet_v2", 7, 576, 160, 1, 1, 1);
  b.conv("mobilenet_v2", 7, 160, 960, 1, 1, 3, 1, clip);
  b.conv("mobilenet_v2", 7, 960, 960, 3, 1, 3, 960, clip);
  b.conv("mobilenet_v2", 7, 960, 160, 1, 1, 2);
  b.conv("mobilenet_v2", 7, 960, 320, 1, 1, 1);
  b.conv("mobilenet_v2", 7, 320, 1280, 1, 1, 1, 1, clip);
  b.total("mobilenet_v2: 52 convolutions");

  b.conv("convnext_tiny", 56, 96, 96, 7, 1, 3, 96, Activation::kNone);
  b.conv("convnext_tiny", 14, 384, 384, 7, 1, 9, 384, Activation::kNone);
  b.conv("resnext50", 56, 128, 128, 3, 1, 3, 32);
  b.conv("resnext50", 14, 512, 512, 3, 1, 5, 32);
  b.conv("unet", 256, 32, 32, 3, 1, 1);
  b.conv("unet", 64, 128, 128, 3, 1, 1);
  b.conv("shufflenet", 28, 58, 58, 1, 1, 1);
  b.total("other convolutions");

  b.gemm("bert", 128, 768, 768, 48);
  b.gemm("bert", 128, 3072, 768, 12, Activation::kGeluErf);
  b.gemm("bert", 128, 768, 3072, 12);
  b.attention("bert", 128, 12, 64, 12);
  b.total("bert_base, 128 tokens");
  b.gemm("vit", 197, 768, 768, 1);
  b.gemm("vit", 197, 3072, 768, 1, Activation::kGeluErf);
  b.gemm("gpt2 decode", 1, 3072, 768, 1);
  b.gemm("gpt2 decode", 1, 768, 3072, 1);
  b.gemm("gpt2 decode", 1, 50257, 768, 1);
  b.gemm("classifier", 1, 1000, 2048, 1);
  return 0;
}
