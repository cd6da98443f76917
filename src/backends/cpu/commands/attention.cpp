// SPDX-License-Identifier: Apache-2.0
// cpu.attention: q, k, v, mask? as ops/sdpa.hpp has them, with its attributes as parameters. The last axis of y's
// layout is d. Parameters query_block and key_block: sizes of the blocks where the kernel should not choose itself.
#include "backends/cpu/kernels/attention/attention.hpp"

#include <algorithm>
#include <limits>

#include "backends/cpu/commands/support.hpp"

namespace carnot::cpu {
namespace {

// Where the axes b, h, s, d stand.
struct Layout {
  size_t axis[4];

  static Result<Layout> parse(const Attrs& params, std::string_view name) {
    const std::string text = attr_or<std::string>(params, name, "bhsd");
    std::string sorted = text;
    std::sort(sorted.begin(), sorted.end());
    if (sorted != "bdhs") return fail(Code::kDataCorrupt, "parameter '{}' is '{}', no order of b, h, s, d", name, text);
    Layout layout;
    for (size_t i = 0; i < 4; ++i) layout.axis[i] = text.find("bhsd"[i]);
    return layout;
  }
  int64_t dim(const TensorView& x, size_t i) const { return x.dims[axis[i]]; }
  Attention::Strides strides(const TensorView& x) const {
    ptrdiff_t stored[4], stride = 1;
    for (size_t i = 4; i-- > 0;) {
      stored[i] = stride;
      stride *= x.dims[i];
    }
    return {stored[axis[0]], stored[axis[1]], stored[axis[2]], stored[axis[3]]};
  }
};

class AttentionKernel final : public Kernel {
 public:
  Status check_operands(size_t inputs, size_t outputs) const override {
    return expect_operands("cpu.attention", inputs, outputs, 3, 4);
  }

  size_t workspace(std::span<const TensorView> in, std::span<const TensorView> out, int threads) const override {
    auto problem = bind(in, out);
    return problem ? attention_workspace(*problem, threads) : 0;
  }

  Status run(const KernelArgs& args) const override {
    CARNOT_ASSIGN(const Attention p, bind(args.in, args.out));
    run_attention(p, args.workspace, *args.pool);
    return {};
  }

  static Result<std::unique_ptr<Kernel>> make(const Attrs& params) {
    auto kernel = std::make_unique<AttentionKernel>();
    static constexpr std::string_view kLayouts[] = {"q_layout", "k_layout", "v_layout", "y_layout"},
                                      kFirsts[] = {"q_first", "k_first", "v_first"};
    for (size_t i = 0; i < 4; ++i) {
      CARNOT_ASSIGN(kernel->layouts_[i], Layout::parse(params, kLayouts[i]));
    }
    for (size_t i = 0; i < 3; ++i) kernel->first_[i] = attr_or<int64_t>(params, kFirsts[i], 0);
    Attention& p = kernel->base_;
    p.heads = attr_or<int64_t>(params, "heads", 1);
    p.kv_heads = attr_or<int64_t>(params, "kv_heads", 1);
    if (p.heads < 1 || p.kv_heads < 1 || p.heads % p.kv_heads != 0)
      return fail(Code::kDataCorrupt, "{} query heads and {} key heads", p.heads, p.kv_heads);
    p.scale = static_cast<float>(attr_or<double>(params, "scale", 1.0));
    p.fill = static_cast<float>(attr_or<double>(params, "fill", -std::numeric_limits<double>::infinity()));
    p.zero_nan = attr_or<int64_t>(params, "zero_nan", 0) != 0;
    p.query_block = attr_or<int64_t>(params, "query_block", 0);
    p.key_block = attr_or<int64_t>(params, "key_block", 0);
    if (p.query_block < 0 || p.key_block < 0) return fail(Code::kDataCorrupt, "blocks of {} queries and {} keys", p.query_block, p.key_block);
    const std::string causal = attr_or<std::string>(params, "causal", "none");
    p.causal = causal != "none";
    kernel->bottom_ = causal == "bottom";
    if (kernel->layouts_[3].axis[3] != 3) return fail(Code::kDataCorrupt, "the columns of the result do not adjoin");
    return std::unique_ptr<Kernel>(std::move(kernel));
  }

 private:
  Result<Attention> bind(std::span<const TensorView> in, std::span<const TensorView> out) const {
    Attention p = base_;
    const TensorView* views[] = {&in[0], &in[1], &in[2], &out[0]};
    for (const TensorView* x : views) {
      CARNOT_RETURN_IF_ERROR(expect_f32(*x, "an operand"));
      if (x->rank() != 4)
        return fail(Code::kDataCorrupt, "an operand has shape {}; attention wants four axes", to_string(x->dims));
    }
    auto dim = [&](size_t i, size_t axis) { return layouts_[i].dim(*views[i], axis); };
    p.batch = dim(0, 0);
    p.queries = dim(0, 2);
    p.size = dim(0, 3);
    p.keys = dim(1, 2);
    p.v_size = dim(2, 3);
    for (size_t i = 0; i < 3; ++i) {
      const int64_t heads = i == 0 ? p.heads : p.kv_heads;
      if (first_[i] < 0 || heads > dim(i, 1) || first_[i] > dim(i, 1) - heads)
        return invalid("operand {} of attention has {} heads; {} from {} on are asked for", i, dim(i, 1), heads,
                       first_[i]);
    }
    if (dim(1, 3) != p.size || dim(2, 2) != p.keys || (dim(1, 0) != p.batch && dim(1, 0) != 1) ||
        (dim(2, 0) != p.batch && dim(2, 0) != 1))
      return invalid("shapes {}, {} and {} do not fit together in attention", to_string(in[0].dims),
                     to_string(in[1].dims), to_string(in[2].dims));
    if (dim(3, 0) != p.batch || dim(3, 1) != p.heads || dim(3, 2) != p.queries || dim(3, 3) != p.v_size)
      return invalid("attention of {}, {} and {} does not give {}", to_string(in[0].dims), to_string(in[1].dims),
                     to_string(in[2].dims), to_string(out[0].dims));
    Attention::Strides* strides[] = {&p.q_strides, &p.k_strides, &p.v_strides, &p.y_strides};
    for (size_t i = 0; i < 4; ++i) {
      *strides[i] = layouts_[i].strides(*views[i]);
      if (dim(i, 0) == 1) strides[i]->batch = 0;
    }
    p.q = in[0].as<float>() + first_[0] * p.q_strides.head;
    p.k = in[1].as<float>() + first_[1] * p.k_strides.head;
    p.v = in[2].as<float>() + first_[2] * p.v_strides.head;
    p.y = const_cast<float*>(out[0].as<float>());
    if (bottom_) p.offset = p.keys - p.queries;
    if (in.size() > 3 && in[3].dtype != DType::kInvalid) CARNOT_RETURN_IF_ERROR(bind_mask(in[3], p));
    return p;
  }

  static Status bind_mask(const TensorView& mask, Attention& p) {
    const int64_t scores[] = {p.batch, p.heads, p.queries, p.keys};
    ptrdiff_t strides[4] = {}, stride = 1;
    bool good = mask.rank() <= 4;
    for (size_t i = mask.rank(); good && i-- > 0;) {
      const size_t axis = i + 4 - mask.rank();
      const int64_t n = mask.dims[i];
      if (n != 1) strides[axis] = stride;
      stride *= n;
      good = n == 1 || n == scores[axis] || (axis == 0 && n > 0 && scores[0] % n == 0);
    }
    if (!good)
      return invalid("the mask of attention has shape {}, the scores {}", to_string(mask.dims),
                     to_string(Dims(scores, scores + 4)));
    if (mask.rank() == 4) p.mask_batches = std::max<int64_t>(mask.dims[0], 1);
    p.mask_strides = {strides[0], strides[1], strides[2], strides[3]};
    if (mask.dtype == DType::kBool) {
      p.keep = mask.as<uint8_t>();
    } else {
      CARNOT_RETURN_IF_ERROR(expect_f32(mask, "the mask"));
      p.mask = mask.as<float>();
    }
    return {};
  }

  Attention base_;
  Layout layouts_[4];
  int64_t first_[3];
  bool bottom_;
};

}  // namespace

CARNOT_CPU_COMMANDS(attention, {"cpu.attention", AttentionKernel::make})

}  // namespace carnot::cpu
