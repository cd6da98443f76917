// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/launch.hpp"

#include <array>
#include <charconv>

#include "base/dims.hpp"
#include "device/device.hpp"

namespace carnot::cuda {
namespace {

constexpr size_t kMostArguments = 256;

// i<k>d<a>, i<k>n, o<k>d<a>, o<k>n: dims and element counts of operands.
std::optional<int64_t> symbol_value(std::string_view name, std::span<const TensorView> in, std::span<const TensorView> out) {
  if (name.size() < 3 || (name[0] != 'i' && name[0] != 'o')) return std::nullopt;
  const auto operands = name[0] == 'i' ? in : out;
  size_t k = 0, axis = 0;
  const char* const end = name.data() + name.size();
  const auto [after, error] = std::from_chars(name.data() + 1, end, k);
  if (error != std::errc() || after == end || k >= operands.size()) return std::nullopt;
  if (*after == 'n' && after + 1 == end) return operands[k].size();
  if (*after != 'd') return std::nullopt;
  const auto [last, bad] = std::from_chars(after + 1, end, axis);
  if (bad != std::errc() || last != end || axis >= operands[k].rank()) return std::nullopt;
  return operands[k].dims[axis];
}

Result<Dim> parse(const std::string& text) {
  auto dim = Dim::parse(text);
  if (!dim) return std::move(dim.error()).within("cuda.launch");
  return dim;
}

class LaunchKernel final : public Kernel {
 public:
  LaunchKernel(const Api& api, std::shared_ptr<Module> module) : api_(api), module_(std::move(module)) {}

  Status read(const Attrs& params) {
    const auto* entry = find_attr<std::string>(params, "entry");
    const auto* grid = find_attr<std::vector<std::string>>(params, "grid");
    const auto* block = find_attr<std::vector<int64_t>>(params, "block");
    if (!entry || !grid || grid->size() != 3 || !block || block->size() != 3) return fail(Code::kDataCorrupt, "cuda.launch needs entry, grid and block");
    int64_t threads = 1;
    for (size_t i = 0; i < 3; ++i) {
      CARNOT_ASSIGN(grid_[i], parse((*grid)[i]));
      block_[i] = (*block)[i];
      if (block_[i] < 1 || block_[i] > 1024 || (threads *= block_[i]) > 1024) return fail(Code::kDataCorrupt, "cuda.launch: a block of {} threads", threads);
    }
    CARNOT_ASSIGN(shared_, parse(attr_or(params, "shared", std::string("0"))));
    if (const auto* workspace = find_attr<std::string>(params, "workspace")) {
      CARNOT_ASSIGN(workspace_, parse(*workspace));
      has_workspace_ = true;
    }
    complains_ = attr_or<int64_t>(params, "complains", 0) != 0;
    for (const std::string& text : attr_or(params, "scalars", std::vector<std::string>())) {
      CARNOT_ASSIGN(Dim d, parse(text));
      scalars_.push_back(std::move(d));
    }
    CARNOT_CUDA_CALL(api_.cuModuleGetFunction(&function_, module_->get(), entry->c_str()), fmt::format("the code of '{}'", *entry));
    // The driver reads as many arguments as the code declares, so these have to be ours.
    size_t offset = 0, size = 0;
    while (parameters_ < kMostArguments && api_.cuFuncGetParamInfo(function_, parameters_, &offset, &size) == CUDA_SUCCESS) {
      if (size != 8) return fail(Code::kDataCorrupt, "the code of '{}' takes an argument of {} bytes", *entry, size);
      ++parameters_;
    }
    return {};
  }

  Status check_operands(size_t inputs, size_t outputs) const override {
    const size_t given = inputs + outputs + has_workspace_ + complains_ + scalars_.size();
    if (given != parameters_ || given >= kMostArguments) return fail(Code::kDataCorrupt, "the code takes {} arguments, the command gives {}", parameters_, given);
    return {};
  }

  size_t workspace(std::span<const TensorView> in, std::span<const TensorView> out, int) const override {
    if (!has_workspace_) return 0;
    auto bytes = eval(workspace_, in, out);
    return bytes && *bytes > 0 ? static_cast<size_t>(*bytes) : 0;
  }

  Status run(const KernelArgs& args) const override {
    const std::span<const TensorView> out(args.out.data(), args.out.size());
    int64_t grid[3];
    for (size_t i = 0; i < 3; ++i) {
      CARNOT_ASSIGN(grid[i], eval(grid_[i], args.in, out));
      if (grid[i] < 0 || grid[i] > (i == 0 ? int64_t{2147483647} : int64_t{65535})) return invalid("a grid of {} blocks along axis {}", grid[i], i);
    }
    if (grid[0] == 0 || grid[1] == 0 || grid[2] == 0) return {};
    CARNOT_ASSIGN(const int64_t shared, eval(shared_, args.in, out));
    if (shared < 0 || shared > 232448) return invalid("a block would need {} bytes of shared memory", shared);
    if (shared > 48 * 1024)
      CARNOT_CUDA_CALL(api_.cuFuncSetAttribute(function_, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, static_cast<int>(shared)), "asking for shared memory");
    std::array<uint64_t, kMostArguments> values;
    std::array<void*, kMostArguments> arguments;
    size_t n = 0;
    const auto add = [&](uint64_t value) {
      values[n] = value;
      arguments[n] = &values[n];
      ++n;
    };
    for (const TensorView& v : args.in) add(reinterpret_cast<uint64_t>(v.data));
    for (const TensorView& v : args.out) add(reinterpret_cast<uint64_t>(v.data));
    if (has_workspace_) add(reinterpret_cast<uint64_t>(args.workspace));
    if (complains_) add(reinterpret_cast<uint64_t>(args.stream->complaint()));
    for (const Dim& d : scalars_) {
      CARNOT_ASSIGN(const int64_t value, eval(d, args.in, out));
      add(static_cast<uint64_t>(value));
    }
    const auto u = [](int64_t x) { return static_cast<unsigned>(x); };
    CARNOT_CUDA_CALL(api_.cuLaunchKernel(function_, u(grid[0]), u(grid[1]), u(grid[2]), u(block_[0]), u(block_[1]), u(block_[2]), u(shared),
                                         static_cast<CUstream>(args.stream->native()), arguments.data(), nullptr),
                     "launching a kernel");
    return {};
  }

 private:
  static Result<int64_t> eval(const Dim& d, std::span<const TensorView> in, std::span<const TensorView> out) {
    if (d.is_constant()) return d.value();
    return d.eval([&](std::string_view name) { return symbol_value(name, in, out); });
  }

  const Api& api_;
  std::shared_ptr<Module> module_;
  CUfunction function_ = nullptr;
  Dim grid_[3], shared_, workspace_;
  int64_t block_[3] = {1, 1, 1};
  bool has_workspace_ = false, complains_ = false;
  std::vector<Dim> scalars_;
  size_t parameters_ = 0;
};

}  // namespace

Module::~Module() {
  api_.cuCtxSetCurrent(context_);
  api_.cuModuleUnload(module_);
}

Result<std::shared_ptr<Module>> Modules::load(const Api& api, CUcontext context, std::span<const std::byte> code) {
  if (code.empty()) return fail(Code::kDataCorrupt, "cuda.launch without code");
  const std::string key(reinterpret_cast<const char*>(code.data()), code.size());
  const std::lock_guard lock(mutex_);
  if (auto known = loaded_[key].lock()) return known;
  CUmodule module = nullptr;
  CARNOT_CUDA_CALL(api.cuModuleLoadData(&module, code.data()), "loading code; was the engine built for this GPU?");
  auto made = std::make_shared<Module>(api, context, module);
  loaded_[key] = made;
  return made;
}

Result<std::unique_ptr<Kernel>> make_launch(const Api& api, std::shared_ptr<Module> module, const Attrs& params) {
  auto kernel = std::make_unique<LaunchKernel>(api, std::move(module));
  CARNOT_RETURN_IF_ERROR(kernel->read(params));
  return std::unique_ptr<Kernel>(std::move(kernel));
}

}  // namespace carnot::cuda
