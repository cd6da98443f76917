// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/product.hpp"

#include <atomic>
#include <mutex>
#include <vector>

#include "backends/cuda/kernels/plan_cache.hpp"
#include "backends/cuda/libraries/cublaslt.hpp"
#include "backends/cuda/libraries/timing.hpp"
#include "base/log.hpp"

namespace carnot::cuda {
namespace {

constexpr size_t kMaxWorkspace = size_t{32} << 20;  // what the vendor recommends for Hopper
constexpr int kMaxAlgorithms = 16;

Result<cudaDataType> data_type(DType type) {
  switch (type) {
    case DType::kF32: return CUDA_R_32F;
    case DType::kF16: return CUDA_R_16F;
    case DType::kBF16: return CUDA_R_16BF;
    case DType::kF64: return CUDA_R_64F;
    default: return fail(Code::kUnsupported, "cuBLASLt: products of {}", dtype_name(type));
  }
}

// cuBLASLt thinks in columns: d^T = w^T @ a^T, so its A is our w, and the bias runs along its rows.
class LtPlan final : public ProductPlan {
 public:
  LtPlan(const CublasLt& lt, cublasLtHandle_t handle, const Product& product) : lt_(lt), handle_(handle), product_(product) {}

  Status prepare() {
    const Product& p = product_;
    CARNOT_RETURN_IF_ERROR(layout(w_, p.type, p.trans_w ? p.k : p.n, p.trans_w ? p.n : p.k, p.ldw, p.step_w));
    CARNOT_RETURN_IF_ERROR(layout(a_, p.type, p.trans_a ? p.m : p.k, p.trans_a ? p.k : p.m, p.lda, p.step_a));
    CARNOT_RETURN_IF_ERROR(layout(r_, p.out_type, p.n, p.m, p.residual ? p.ldr : p.ldd, p.residual ? p.step_r : p.step_d));
    CARNOT_RETURN_IF_ERROR(layout(d_, p.out_type, p.n, p.m, p.ldd, p.step_d));
    cublasLtMatmulDescOpaque_t operation;
    CARNOT_RETURN_IF_ERROR(describe(operation, reinterpret_cast<const void*>(uintptr_t{256})));
    cublasLtMatmulPreferenceOpaque_t preference;
    CARNOT_RETURN_IF_ERROR(check(lt_.cublasLtMatmulPreferenceInit_internal(&preference, sizeof preference), "cuBLASLt preference"));
    auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      return check(lt_.cublasLtMatmulPreferenceSetAttribute(&preference, attribute, &value, sizeof value), "cuBLASLt preference");
    };
    CARNOT_RETURN_IF_ERROR(prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(kMaxWorkspace)));
    for (auto attribute : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                           CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      CARNOT_RETURN_IF_ERROR(prefer(attribute, static_cast<uint32_t>(p.alignment)));
    results_.resize(kMaxAlgorithms);
    int found = 0;
    const cublasStatus_t status =
        lt_.cublasLtMatmulAlgoGetHeuristic(handle_, &operation, &w_, &a_, &r_, &d_, &preference, kMaxAlgorithms, results_.data(), &found);
    std::vector<cublasLtMatmulHeuristicResult_t> usable;
    for (int i = 0; i < found; ++i)
      if (results_[static_cast<size_t>(i)].state == CUBLAS_STATUS_SUCCESS) usable.push_back(results_[static_cast<size_t>(i)]);
    results_ = std::move(usable);
    if (results_.empty())
      return fail(Code::kUnsupported, "cuBLASLt has no algorithm for {}x{}x{} of {} (status {})", p.m, p.n, p.k, dtype_name(p.type), static_cast<int>(status));
    if (p.choice >= 0) {
      if (static_cast<size_t>(p.choice) < results_.size()) results_ = {results_[static_cast<size_t>(p.choice)]};
      else results_.resize(1);
    }
    for (const auto& result : results_) workspace_ = std::max(workspace_, result.workspaceSize);
    chosen_ = results_.size() == 1 ? 0 : -1;
    return {};
  }

  size_t workspace() const override { return workspace_; }

  Status run(CUstream stream, const ProductOperands& o, void* workspace) override {
    int chosen = chosen_.load(std::memory_order_acquire);
    if (chosen < 0) {
      CARNOT_ASSIGN(const bool recording, is_recording(stream));
      // A residual that is overwritten cannot be added several times.
      if (recording || (o.residual && o.residual == o.d)) chosen = 0;
      else CARNOT_RETURN_IF_ERROR(choose(stream, o, workspace));
      if (chosen < 0) chosen = chosen_.load(std::memory_order_acquire);
    }
    return enqueue(static_cast<size_t>(chosen), stream, o, workspace);
  }

 private:
  Status layout(cublasLtMatrixLayoutOpaque_t& to, DType type, int64_t rows, int64_t columns, int64_t ld, int64_t step) const {
    CARNOT_ASSIGN(const cudaDataType t, data_type(type));
    CARNOT_RETURN_IF_ERROR(check(lt_.cublasLtMatrixLayoutInit_internal(&to, sizeof to, t, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), ld), "cuBLASLt layout"));
    if (product_.batch == 1) return {};
    const int32_t batch = static_cast<int32_t>(product_.batch);
    CARNOT_RETURN_IF_ERROR(check(lt_.cublasLtMatrixLayoutSetAttribute(&to, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch), "cuBLASLt layout"));
    return check(lt_.cublasLtMatrixLayoutSetAttribute(&to, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &step, sizeof step), "cuBLASLt layout");
  }

  // Written anew for each call, since the bias is part of it and threads share the plan.
  Status describe(cublasLtMatmulDescOpaque_t& to, const void* bias) const {
    const Product& p = product_;
    const bool wide = p.type == DType::kF64;
    const cublasComputeType_t compute = wide ? CUBLAS_COMPUTE_64F : p.tf32 && p.type == DType::kF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    CARNOT_RETURN_IF_ERROR(check(lt_.cublasLtMatmulDescInit_internal(&to, sizeof to, compute, wide ? CUDA_R_64F : CUDA_R_32F), "cuBLASLt operation"));
    auto set = [&](cublasLtMatmulDescAttributes_t attribute, auto value) {
      return check(lt_.cublasLtMatmulDescSetAttribute(&to, attribute, &value, sizeof value), "cuBLASLt operation");
    };
    CARNOT_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_TRANSA, p.trans_w ? CUBLAS_OP_T : CUBLAS_OP_N));
    CARNOT_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_TRANSB, p.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N));
    int epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    if (p.epilogue == ProductEpilogue::kRelu) epilogue = p.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
    else if (p.epilogue == ProductEpilogue::kGeluTanh) epilogue = p.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    else if (p.bias) epilogue = CUBLASLT_EPILOGUE_BIAS;
    CARNOT_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<cublasLtEpilogue_t>(epilogue)));
    if (!p.bias) return {};
    CARNOT_ASSIGN(const cudaDataType bias_type, data_type(p.out_type));
    CARNOT_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias_type));
    return set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }

  Status enqueue(size_t which, CUstream stream, const ProductOperands& o, void* workspace) const {
    cublasLtMatmulDescOpaque_t operation;
    CARNOT_RETURN_IF_ERROR(describe(operation, o.bias));
    const float alpha = static_cast<float>(product_.alpha), beta = o.residual ? 1 : 0;
    const double wide_alpha = product_.alpha, wide_beta = o.residual ? 1 : 0;
    const bool wide = product_.type == DType::kF64;
    const auto& result = results_[which];
    auto* a = const_cast<cublasLtMatrixLayoutOpaque_t*>(&a_);
    auto* w = const_cast<cublasLtMatrixLayoutOpaque_t*>(&w_);
    auto* r = const_cast<cublasLtMatrixLayoutOpaque_t*>(&r_);
    auto* d = const_cast<cublasLtMatrixLayoutOpaque_t*>(&d_);
    return check(lt_.cublasLtMatmul(handle_, &operation, wide ? static_cast<const void*>(&wide_alpha) : &alpha, o.w, w, o.a, a,
                                    wide ? static_cast<const void*>(&wide_beta) : &beta, o.residual ? o.residual : o.d, r, o.d, d, &result.algo, workspace,
                                    result.workspaceSize, stream),
                 "cuBLASLt product");
  }

  Status choose(CUstream stream, const ProductOperands& o, void* workspace) {
    const std::lock_guard lock(mutex_);
    if (chosen_ >= 0) return {};
    CARNOT_ASSIGN(const Timed timed, fastest(results_.size(), stream, [&](size_t i, CUstream s) { return enqueue(i, s, o, workspace); }));
    CARNOT_LOG(2, "cuda", "product {}x{}x{} batch {} {}: algorithm {} of {}, {:.2f} us", product_.m, product_.n, product_.k, product_.batch,
               dtype_name(product_.type), timed.best, results_.size(), timed.microseconds);
    chosen_.store(static_cast<int>(timed.best), std::memory_order_release);
    return {};
  }

  const CublasLt& lt_;
  cublasLtHandle_t handle_;
  const Product product_;
  cublasLtMatrixLayoutOpaque_t a_, w_, r_, d_;
  std::vector<cublasLtMatmulHeuristicResult_t> results_;
  size_t workspace_ = 0;
  std::atomic<int> chosen_{-1};
  std::mutex mutex_;
};

}  // namespace

Result<std::shared_ptr<ProductPlan>> ProductPlan::get(const Product& product) {
  static PlanCache<Product, ProductPlan> cache;
  return cache.get(product, [&]() -> Result<std::shared_ptr<ProductPlan>> {
    CARNOT_ASSIGN(const CublasLt* lt, cublaslt());
    CARNOT_ASSIGN(cublasLtHandle_t handle, cublaslt_handle());
    auto plan = std::make_shared<LtPlan>(*lt, handle, product);
    CARNOT_RETURN_IF_ERROR(plan->prepare());
    return std::shared_ptr<ProductPlan>(std::move(plan));
  });
}

}  // namespace carnot::cuda
