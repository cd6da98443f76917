// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/own.hpp"

#include <dlfcn.h>

#include <map>
#include <mutex>
#include <string>

#include "backends/cuda/libraries/driver.hpp"

namespace carnot::cuda {
namespace {

// The bytes that nvcc made of device/fused.cu, taken in by the assembler.
asm(R"(
  .pushsection .rodata
  .balign 64
carnot_fused_code:
  .incbin ")" CARNOT_FUSED_CODE R"("
  .popsection
)");
extern "C" const unsigned char carnot_fused_code[] __attribute__((visibility("hidden")));

// A function of device/fused.cu, for whatever context is current.
Result<CUfunction> own_kernel(const std::string& name) {
  CARNOT_ASSIGN(const KernelDriver* driver, kernel_driver());
  static std::mutex mutex;
  static CUlibrary library = nullptr;  // like the driver, it lives as long as the process
  static std::map<std::string, CUkernel> kernels;
  const std::lock_guard lock(mutex);
  if (!library)
    CARNOT_RETURN_IF_ERROR(check(driver->cuLibraryLoadData(&library, carnot_fused_code, nullptr, nullptr, 0, nullptr, nullptr, 0), "loading the kernels of fused.cu"));
  CUkernel& kernel = kernels[name];
  if (!kernel) CARNOT_RETURN_IF_ERROR(check(driver->cuLibraryGetKernel(&kernel, library, name.c_str()), name));
  return reinterpret_cast<CUfunction>(kernel);
}

Status launch(CUstream stream, const std::string& name, int64_t threads, void** arguments) {
  if (threads == 0) return {};
  CARNOT_ASSIGN(CUfunction kernel, own_kernel(name));
  CARNOT_ASSIGN(const KernelDriver* driver, kernel_driver());
  const int64_t blocks = (threads + 255) / 256;
  if (blocks > 0x7fffffff) return fail(Code::kUnsupported, "{}: {} elements are more than a launch takes", name, threads);
  return check(driver->cuLaunchKernel(kernel, static_cast<unsigned>(blocks), 1, 1, 256, 1, 1, 0, stream, arguments, nullptr), name);
}

bool aligned(const void* p, size_t bytes) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

}  // namespace

Status launch_epilogue(CUstream stream, DType dtype, void* y, const void* bias, const void* residual, int64_t elements, int64_t channels,
                       const Epilogue& epilogue) {
  const int64_t wide = 16 / static_cast<int64_t>(dtype_size(dtype));
  const bool packs = channels % wide == 0 && aligned(y, 16) && aligned(bias, 16) && aligned(residual, 16);
  const int64_t width = packs ? wide : 1;
  long long count = elements / width;
  int channel_packs = static_cast<int>(channels / width), activation = static_cast<int>(epilogue.activation), after = epilogue.residual_after;
  float alpha = epilogue.alpha, beta = epilogue.beta;
  void* arguments[] = {&y, &bias, &residual, &count, &channel_packs, &activation, &alpha, &beta, &after};
  return launch(stream, fmt::format("carnot_epilogue_{}_{}", dtype_name(dtype), width), count, arguments);
}

Status launch_stage(CUstream stream, DType dtype, const void* x, void* y, const Staging& s) {
  long long count = s.batch * s.out[0] * s.out[1] * s.out[2] * s.out_channels;
  int in[4], out[4], before[3];
  for (int i = 0; i < 3; ++i) in[i] = static_cast<int>(s.in[i]), out[i] = static_cast<int>(s.out[i]), before[i] = static_cast<int>(s.before[i]);
  in[3] = static_cast<int>(s.channels), out[3] = static_cast<int>(s.out_channels);
  void* arguments[] = {&x, &y, &count, &in[0], &in[1], &in[2], &in[3], &out[0], &out[1], &out[2], &out[3], &before[0], &before[1], &before[2]};
  return launch(stream, fmt::format("carnot_stage_{}", dtype_size(dtype)), count, arguments);
}

Status launch_columns(CUstream stream, const void* x, void* y, const Columns& c) {
  const int width = c.channels % 4 == 0 && aligned(x, 16) && aligned(y, 16) ? 4 : 1;  // elements that are moved at once
  // device/fused.cu's Columns.
  struct {
    int in[3], out[3], kernel[3], stride[3], dilation[3], before[3], channels;
  } a;
  long long count = c.pixels * c.channels / width;
  for (int i = 0; i < 3; ++i) {
    a.in[i] = static_cast<int>(c.in[i]), a.out[i] = static_cast<int>(c.out[i]), a.kernel[i] = static_cast<int>(c.kernel[i]);
    a.stride[i] = static_cast<int>(c.stride[i]), a.dilation[i] = static_cast<int>(c.dilation[i]), a.before[i] = static_cast<int>(c.before[i]);
    count *= c.kernel[i];
  }
  a.channels = static_cast<int>(c.channels / width);
  void* arguments[] = {&x, &y, &count, &a};
  return launch(stream, fmt::format("carnot_columns_{}", static_cast<size_t>(width) * c.element), count, arguments);
}

Status launch_softmax(CUstream stream, DType dtype, const float* scores, void* probabilities, const MaskedSoftmax& s) {
  long long rows = s.batch * s.heads * s.queries, strides[4];
  for (int i = 0; i < 4; ++i) strides[i] = s.mask_strides[i];
  int heads = static_cast<int>(s.heads), queries = static_cast<int>(s.queries), keys = static_cast<int>(s.keys);
  int kind = !s.mask ? 0 : s.mask_dtype == DType::kBool ? 3 : s.mask_dtype == dtype ? 1 : 2;
  int mask_batch = static_cast<int>(s.mask_batch), causal = s.causal, shift = static_cast<int>(s.causal_shift), zero_nan = s.zero_nan;
  float fill = s.fill;
  const void* mask = s.mask;
  void* arguments[] = {&scores, &probabilities, &mask, &rows, &heads, &queries, &keys, &kind, &mask_batch, &strides[0], &strides[1], &strides[2], &strides[3],
                       &fill, &causal, &shift, &zero_nan};
  return launch(stream, fmt::format("carnot_softmax_{}", dtype_name(dtype)), rows * 32, arguments);
}

bool can_launch_attention(const Attention& a, int alignment) {
  const auto good = [](const HeadLayout& l) { return l.column_step == 1 && l.row_step % 8 == 0 && l.head_step % 8 == 0 && l.batch_step % 8 == 0; };
  constexpr int64_t kMost = int64_t{1} << 30;
  return (a.type == DType::kF16 || a.type == DType::kBF16) && alignment == 16 && a.q.size == a.v.size && (a.q.size == 32 || a.q.size == 64 || a.q.size == 96 || a.q.size == 128) &&
         good(a.q) && good(a.k) && good(a.v) && good(a.y) && a.q.heads <= 65535 && a.q.batch <= 65535 && a.q.length < kMost && a.k.length < kMost;
}

Status launch_attention(CUstream stream, const Attention& a, const MaskedSoftmax& s, const void* q, const void* k, const void* v, void* y) {
  if (a.q.batch * a.q.heads * a.q.length == 0) return {};
  // device/attention.cuh's Arguments.
  struct Operand {
    const void* data;
    long long batch_step, head_step, row_step;
  };
  struct {
    Operand q, k, v, y;
    const void* mask;
    int mask_kind, mask_batch;
    long long mask_steps[4];
    int queries, keys, group, causal, causal_shift, zero_nan;
    float scale, fill;
  } arguments;
  const auto operand = [&](const void* data, const HeadLayout& l) { return Operand{data, l.batch == 1 ? 0 : l.batch_step, l.head_step, l.row_step}; };
  arguments = {operand(q, a.q), operand(k, a.k), operand(v, a.v), operand(y, a.y), s.mask, !s.mask ? 0 : s.mask_dtype == DType::kBool ? 3 : s.mask_dtype == a.type ? 1 : 2,
               static_cast<int>(s.mask_batch), {}, static_cast<int>(a.q.length), static_cast<int>(a.k.length), static_cast<int>(a.q.heads / a.k.heads), s.causal,
               static_cast<int>(s.causal_shift), s.zero_nan, static_cast<float>(a.scale), s.fill};
  for (int i = 0; i < 4; ++i) arguments.mask_steps[i] = s.mask_strides[i];
  // Where 64 queries a block would leave most of the GPU idle, 16 queries and a quarter of the keys for each warp.
  const int64_t tiles = (a.q.length + 15) / 16, all = tiles * a.q.heads * a.q.batch;
  const int split = all <= 1024 || a.q.length <= 16 ? 4 : 1;
  CARNOT_ASSIGN(CUfunction kernel, own_kernel(fmt::format("carnot_attention_{}_{}_{}", dtype_name(a.type), a.q.size, split)));
  CARNOT_ASSIGN(const KernelDriver* driver, kernel_driver());
  void* pointers[] = {&arguments};
  const auto blocks = static_cast<unsigned>(split == 4 ? tiles : (tiles + 3) / 4);
  return check(driver->cuLaunchKernel(kernel, blocks, static_cast<unsigned>(a.q.heads), static_cast<unsigned>(a.q.batch), 128, 1, 1, 0, stream, pointers, nullptr), "attention");
}

Status launch_recurrence(CUstream stream, const Recurrence& r) {
  // Not in the table of the driver's functions: drivers before 11.8 lack it, and nothing else needs it.
  using Launch = CUresult (*)(const CUlaunchConfig*, CUfunction, void**, void**);
  static const auto launch_in_clusters = [] {
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    return reinterpret_cast<Launch>(library ? dlsym(library, "cuLaunchKernelEx") : nullptr);
  }();
  if (!launch_in_clusters) return fail(Code::kUnsupported, "the NVIDIA driver is too old for recurrences: it has no cuLaunchKernelEx");
  // device/recurrent.cuh's Arguments.
  struct {
    const float *x, *r, *r_bias, *h0, *c0;
    float *y, *y_h, *y_c;
    int time, batch, directions, units, first_reversed;
  } arguments = {r.x, r.r, r.r_bias, r.h0, r.c0, r.y, r.y_h, r.y_c, static_cast<int>(r.time), static_cast<int>(r.batch), static_cast<int>(r.directions), static_cast<int>(r.units),
                 static_cast<int>(r.first_reversed)};
  CARNOT_ASSIGN(CUfunction kernel, own_kernel(fmt::format("carnot_{}_{}", r.lstm ? "lstm" : "gru", r.hidden)));
  // device/recurrent.cuh: small ones run in one block.
  const bool alone = r.hidden <= (r.lstm ? 64 : 128);
  const auto blocks = alone ? 1 : static_cast<unsigned>(r.hidden / 32);
  CUlaunchAttribute cluster{};
  cluster.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  cluster.value.clusterDim.x = blocks;
  cluster.value.clusterDim.y = cluster.value.clusterDim.z = 1;
  CUlaunchConfig config{};
  config.gridDimX = blocks * static_cast<unsigned>(r.batch * r.directions);
  config.gridDimY = config.gridDimZ = 1;
  config.blockDimX = alone ? static_cast<unsigned>(r.hidden) * 4 : 512;
  config.blockDimY = config.blockDimZ = 1;
  config.hStream = stream;
  config.attrs = &cluster;
  config.numAttrs = 1;
  void* pointers[] = {&arguments};
  return check(launch_in_clusters(&config, kernel, pointers, nullptr), "a recurrence");
}

}  // namespace carnot::cuda
