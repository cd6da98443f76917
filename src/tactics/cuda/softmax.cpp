// SPDX-License-Identifier: Apache-2.0
// softmax and log_softmax along any axis.
#include <algorithm>

#include "ops/log_softmax.hpp"
#include "ops/softmax.hpp"
#include "tactics/cuda/support_rows.hpp"
#include "tactics/cuda/support_text.hpp"

namespace carnot::tactics {
namespace {
using namespace cuda;

class SoftmaxTactic final : public Tactic {
 public:
  std::string_view name() const override { return "cuda.softmax"; }
  std::string_view device() const override { return "cuda"; }
  int priority() const override { return 100; }
  Refusal refuses(const Problem& p) const override {
    if (!p.node.as<ops::Softmax>() && !p.node.as<ops::LogSoftmax>()) return "other operator";
    return is_float(p.in(0).dtype) && !p.in(0).shape.empty() ? "" : "only floats of rank 1 or more";
  }

  Result<Candidate> build(const Problem& p, const Config&) const override {
    const auto* log = p.node.as<ops::LogSoftmax>();
    Kernel k(p);
    k.input("x", 0);
    k.output("y");
    k.set_in_place();
    k.helper("reductions", std::string(text_of_reductions()));
    const DType t = p.in(0).dtype;
    const std::string type = compute_type(t), f = t == DType::kF64 ? "" : "f";
    std::vector<bool> folded(p.in(0).shape.size(), false);
    folded[static_cast<size_t>(*normalize_axis(log ? log->axis : p.node.as<ops::Softmax>()->axis, folded.size()))] = true;
    Rows r(k.in_shape(0), folded);
    const std::string none = fmt::format("-({})INFINITY", type), store = storage_type(t);
    const std::string result = log ? "v - most - total" : "v * total", finish = log ? fmt::format("  total = log{}(total);\n", f) : fmt::format("  total = ({})1 / total;\n", type);
    const std::string term = log || t == DType::kF32 || t == DType::kF64 ? fmt::format("exp{}(v - most)", f) : "__expf(v - most)";
    if (r.contiguous && !r.columns && r.length.is_constant() && r.length.value() > 0 && r.length.value() <= 16384) {
      k.body = cached(k, r, t, type, none, term, finish, log != nullptr);
      return k.finish("softmax", r.grid());
    }
    // A first walk for the largest, a second for the sum, a third that writes: what it reads again lies in the caches.
    auto loop = [&](const std::string& body) {
      return fmt::format("  for (I f = lane; f < length; f += kGroup) {{\n    const {} v = up(x[base + {}]);\n    {}\n  }}\n", type, r.at(k), body);
    };
    k.body = r.head(k) + fmt::format("  {} most = {};\n", type, none) + loop("most = Max::of(most, v);") + r.fold("most", "Max", none);
    k.body += fmt::format("  {} total = 0;\n", type) + loop(fmt::format("total += exp{}(v - most);", f)) + r.fold("total", "Sum", fmt::format("({})0", type)) + finish;
    k.body += loop(fmt::format("y[base + {}] = down<{}>({});", r.at(k), store, log ? result : fmt::format("exp{}(v - most) * total", f)));
    return k.finish("softmax", r.grid());
  }

 private:
  // Each thread keeps its part of the row in registers.
  static std::string cached(Kernel& k, Rows& r, DType t, const std::string& type, const std::string& none, const std::string& term, const std::string& finish, bool log) {
    const int64_t n = r.length.value();
    int64_t lanes = 16 / static_cast<int64_t>(dtype_size(t));
    while (lanes > 1 && (n % lanes != 0 || n < lanes * 32)) lanes /= 2;
    const int64_t rows = r.rows.is_constant() ? r.rows.value() : 4096;
    r.group = n <= 256 || (n <= 1024 && rows >= 512) ? 32 : n <= 2048 ? 128 : n <= 4096 ? 256 : 512;
    while (r.group < 512 && n > r.group * 32) r.group *= 2;
    const int64_t packs = (n / lanes + r.group - 1) / r.group;
    const std::string store = storage_type(t);
    std::string text = r.head(k);
    text += fmt::format("  const bool wide = aligned<{}>(x) && aligned<{}>(y);\n  {} e[{}];\n  {} most = {};\n", lanes, lanes, type, packs * lanes, type, none);
    auto each = [&](const std::string& body) {
      return fmt::format("#pragma unroll\n  for (int i = 0; i < {}; ++i) {{\n    const I f = (lane + i * kGroup) * {};\n    if (f < length) {{\n{}    }}\n  }}\n", packs, lanes, body);
    };
    auto lane_loop = [&](const std::string& body) { return fmt::format("#pragma unroll\n      for (int j = 0; j < {}; ++j) {}\n", lanes, body); };
    const std::string at = fmt::format("e[i * {} + j]", lanes);
    if (lanes > 1)
      text += each(fmt::format("      if (wide) {{\n        const auto pack = load<{}>(x + base + f);\n  {}      }} else {{\n  {}      }}\n", lanes, lane_loop(at + " = up(pack.v[j]);"),
                               lane_loop(at + " = up(x[base + f + j]);")) + lane_loop("most = Max::of(most, " + at + ");"));
    else
      text += each(lane_loop(at + " = up(x[base + f + j]);") + lane_loop("most = Max::of(most, " + at + ");"));
    text += r.fold("most", "Max", none) + fmt::format("  {} total = 0;\n", type);
    text += each(lane_loop(fmt::format("{{ const {} v = {}; const {} t = {}; {}total += t; }}", type, at, type, term, log ? "" : at + " = t; ")));
    text += r.fold("total", "Sum", fmt::format("({})0", type)) + finish;
    const std::string value = fmt::format("down<{}>({})", store, log ? at + " - most - total" : at + " * total");
    if (lanes > 1)
      text += each(fmt::format("      if (wide) {{\n        Pack<{}, {}> pack;\n  {}        store<{}>(y + base + f, pack);\n      }} else {{\n  {}      }}\n", store, lanes,
                               lane_loop("pack.v[j] = " + value + ";"), lanes, lane_loop("y[base + f + j] = " + value + ";")));
    else
      text += each(lane_loop("y[base + f + j] = " + value + ";"));
    return text;
  }
};

}  // namespace

CARNOT_TACTICS(cuda, softmax, SoftmaxTactic)

}  // namespace carnot::tactics
