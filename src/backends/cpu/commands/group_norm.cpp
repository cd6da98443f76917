// SPDX-License-Identifier: Apache-2.0
// cpu.group_norm(groups, epsilon, layout): x, scale?, bias? per channel; groups = 0: instance norm.
#include "backends/cpu/kernels/norm/norm.hpp"

#include <algorithm>

#include "backends/cpu/commands/support.hpp"

namespace carnot::cpu {
namespace {

// One f32 per channel, or absent.
Result<const float*> per_channel(const KernelArgs& args, size_t i, int64_t channels) {
  if (!present(args, i)) return static_cast<const float*>(nullptr);
  CARNOT_RETURN_IF_ERROR(expect_f32(args.in[i], "scale or bias"));
  if (args.in[i].size() != channels) return fail(Code::kDataCorrupt, "scale or bias has {} elements for {} channels", args.in[i].size(), channels);
  return args.in[i].as<float>();
}

class GroupNormCommand final : public Kernel {
 public:
  GroupNormCommand(int64_t groups, float epsilon, bool last) : groups_(groups), epsilon_(epsilon), last_(last) {}
  Status check_operands(size_t inputs, size_t outputs) const override { return expect_operands("cpu.group_norm", inputs, outputs, 1, 3); }
  Status run(const KernelArgs& args) const override {
    CARNOT_RETURN_IF_ERROR(expect_f32(args.in[0], "the input"));
    CARNOT_RETURN_IF_ERROR(expect_f32(args.out[0], "the output"));
    const Dims& dims = args.in[0].dims;
    if (dims.size() < 2 || args.out[0].dims != dims) return fail(Code::kDataCorrupt, "group norm from {} to {}", to_string(dims), to_string(args.out[0].dims));
    GroupNorm p{.batch = dims[0], .channels = last_ ? dims.back() : dims[1], .pixels = 1, .channels_last = last_, .in = args.in[0].as<float>(),
                .out = args.out[0].as<float>(), .epsilon = epsilon_};
    for (size_t i = 1; i < dims.size(); ++i)
      if (i != (last_ ? dims.size() - 1 : 1)) p.pixels *= dims[i];
    p.groups = groups_ == 0 ? std::max<int64_t>(p.channels, 1) : groups_;
    if (p.channels % p.groups != 0) return fail(Code::kDataCorrupt, "{} channels do not make {} groups", p.channels, p.groups);
    CARNOT_ASSIGN(p.scale, per_channel(args, 1, p.channels));
    CARNOT_ASSIGN(p.bias, per_channel(args, 2, p.channels));
    run_group_norm(p, *args.pool);
    return {};
  }

 private:
  int64_t groups_;
  float epsilon_;
  bool last_;
};

Result<std::unique_ptr<Kernel>> make_group_norm(const Attrs& params) {
  const int64_t groups = attr_or<int64_t>(params, "groups", 0);
  if (groups < 0) return fail(Code::kDataCorrupt, "parameter 'groups' is negative");
  return std::unique_ptr<Kernel>(new GroupNormCommand(groups, static_cast<float>(attr_or<double>(params, "epsilon", 1e-5)),
                                                      attr_or<std::string>(params, "layout", "nchw") == "nhwc"));
}

}  // namespace

CARNOT_CPU_COMMANDS(group_norm, {"cpu.group_norm", make_group_norm})

}  // namespace carnot::cpu
