// SPDX-License-Identifier: Apache-2.0
#include "compiler/trial_machine.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "backends/cpu/kernel.hpp"
#include "carnot/carnot.h"
#include "device/backend.hpp"
#include "tactics/problem_sizes.hpp"

namespace carnot::compiler {
namespace {

// Numbers as activations have them; integers and bools 0 or 1, which is inside any table.
Constant random_operand(DType dtype, const Dims& dims, std::mt19937& random) {
  Constant c = Constant::allocate(dtype, dims);
  dispatch_dtype(dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* to = static_cast<T*>(c.mutable_data());
    for (int64_t i = 0; i < c.size(); ++i) {
      if constexpr (std::is_same_v<T, bool> || std::is_integral_v<T>)
        to[i] = static_cast<T>(random() % 2);
      else
        to[i] = T(static_cast<float>(random() % 20001) / 10000.0f - 1.0f);
    }
  });
  return c;
}

}  // namespace

Result<Constant> trial_operand(const ir::Value* v, const tactics::Sizes& sizes, std::mt19937& random) {
  constexpr int64_t kMost = int64_t{1} << 31;
  if (!v) return Constant{};
  if (v->constant) return *v->constant;
  const auto dims = tactics::dims_at(v->shape(), sizes);
  if (!dims || dtype_size(v->dtype()) == 0 || size_of(*dims) > kMost / static_cast<int64_t>(dtype_size(v->dtype())))
    return fail(Code::kUnsupported, "{}{} is no operand for a trial", dtype_name(v->dtype()), to_string(v->shape()));
  return random_operand(v->dtype(), *dims, random);
}

Result<double> trial_difference(const std::vector<Constant>& wanted, std::span<const TensorView> got) {
  double worst = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].size() == 0) continue;
    CARNOT_ASSIGN(const std::vector<double> want, to_doubles(wanted[i].view()));
    CARNOT_ASSIGN(const std::vector<double> have, to_doubles(got[i]));
    const auto [least, most] = std::minmax_element(want.begin(), want.end());
    const double range = std::max(*most - *least, 1e-30);
    // Written so that NaN counts as far away.
    for (size_t n = 0; n < have.size(); ++n)
      if (const double d = std::abs(have[n] - want[n]) / range; !(d <= worst)) worst = std::isnan(d) ? std::numeric_limits<double>::infinity() : d;
  }
  return worst;
}

Result<std::unique_ptr<TrialMachine>> open_trial_machine(const std::string& device, int threads) {
  if (device == "cpu") return open_cpu_machine(threads);
  if (device.find(":sm_") != std::string::npos) return std::unique_ptr<TrialMachine>();
  CARNOT_ASSIGN(const device::DeviceName name, device::parse_device(device));
  return open_device_machine(name.kind, name.ordinal);
}

std::string kernel_table_key() {
  const std::string carnot_version = fmt::format("{}.{}.{}", CARNOT_VERSION_MAJOR, CARNOT_VERSION_MINOR, CARNOT_VERSION_PATCH);
  uint64_t hash = 14695981039346656037u;  // FNV-1a
  auto mix = [&](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    hash = (hash ^ 0xff) * 1099511628211u;
  };
  for (const tactics::Tactic* tactic : tactics::all_tactics()) mix(fmt::format("{}@{}", tactic->name(), tactic->version()));
  for (const cpu::KernelRow* row : cpu::all_kernels()) mix(row->id);
  return fmt::format("carnot {} kernels {:016x}", carnot_version, hash);
}

}  // namespace carnot::compiler
