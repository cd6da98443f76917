// SPDX-License-Identifier: Apache-2.0
#include "ops/einsum.hpp"

#include <algorithm>
#include <map>

#include "ops/support_check.hpp"

namespace carnot::ops {

namespace {
// Labels are letters; the axes under "..." get numbers 1, 2, ... counted from the last one, so that they align on the
// right.
using Labels = std::vector<int>;
struct Terms {
  std::vector<Labels> inputs;
  Labels output;
};

Result<Labels> labels_of(std::string_view term, std::optional<size_t> rank, size_t dots_rank, size_t& dots) {
  Labels out;
  size_t letters = 0;
  for (char c : term) letters += std::isalpha(static_cast<unsigned char>(c)) != 0;
  for (size_t i = 0; i < term.size(); ++i) {
    if (std::isalpha(static_cast<unsigned char>(term[i]))) {
      out.push_back(term[i]);
    } else if (term.substr(i, 3) == "...") {
      if (rank && *rank < letters)
        return invalid("term '{}' names {} axes, but the input has rank {}", term, letters, *rank);
      const size_t n = rank ? *rank - letters : dots_rank;
      dots = std::max(dots, n);
      for (size_t k = n; k > 0; --k) out.push_back(static_cast<int>(k));
      i += 2;
      if (term.find("...", i + 1) != std::string_view::npos) return invalid("term '{}' has two ellipses", term);
    } else {
      return invalid("'{}' in term '{}' is neither a letter nor \"...\"", term[i], term);
    }
  }
  if (rank && out.size() != *rank)
    return invalid("term '{}' names {} axes, but the input has rank {}", term, out.size(), *rank);
  return out;
}

Result<Terms> parse(std::string equation, const std::vector<size_t>& ranks) {
  std::erase(equation, ' ');
  const std::string_view text = equation;
  const size_t arrow = text.find("->");
  std::string_view left = text.substr(0, arrow);
  Terms terms;
  size_t dots = 0;
  for (size_t i = 0; i < ranks.size(); ++i) {
    const size_t comma = left.find(',');
    if ((comma == std::string_view::npos) != (i + 1 == ranks.size()))
      return invalid("attribute 'equation' \"{}\" does not have one term for each of the {} inputs", equation,
                     ranks.size());
    CARNOT_ASSIGN(Labels labels, labels_of(left.substr(0, comma), ranks[i], 0, dots));
    terms.inputs.push_back(std::move(labels));
    left = comma == std::string_view::npos ? "" : left.substr(comma + 1);
  }
  if (arrow != std::string_view::npos) {
    size_t ignored = 0;
    CARNOT_ASSIGN(terms.output, labels_of(text.substr(arrow + 2), std::nullopt, dots, ignored));
  } else {
    std::map<int, int> count;
    for (const Labels& labels : terms.inputs)
      for (int l : labels) ++count[l];
    for (size_t k = dots; k > 0; --k) terms.output.push_back(static_cast<int>(k));
    for (const auto& [label, n] : count)
      if (n == 1 && label >= 'A') terms.output.push_back(label);
  }
  Labels sorted = terms.output;
  std::sort(sorted.begin(), sorted.end());
  if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end())
    return invalid("an output label occurs twice in \"{}\"", equation);
  for (int l : terms.output)
    if (std::none_of(terms.inputs.begin(), terms.inputs.end(),
                     [&](const Labels& in) { return std::find(in.begin(), in.end(), l) != in.end(); }))
      return invalid("output label '{}' of \"{}\" is in no input", static_cast<char>(l), equation);
  return terms;
}

// A loop over all labels: output labels first, then those summed over.
struct Loop {
  Dims extents;
  size_t kept = 0;
  std::vector<Dims> strides;  // of each input by label
};

Loop loop_of(const Terms& terms, std::span<const TensorView> in) {
  Labels order = terms.output;
  Loop loop;
  loop.kept = order.size();
  for (const Labels& labels : terms.inputs)
    for (int l : labels)
      if (std::find(order.begin(), order.end(), l) == order.end()) order.push_back(l);
  loop.extents.assign(order.size(), 1);
  for (size_t k = 0; k < terms.inputs.size(); ++k) {
    Dims strides(order.size(), 0);
    const Dims own = strides_of(in[k].dims);
    for (size_t a = 0; a < own.size(); ++a) {
      const auto at = static_cast<size_t>(std::find(order.begin(), order.end(), terms.inputs[k][a]) - order.begin());
      if (in[k].dims[a] == 1) continue;  // broadcasts
      strides[at] += own[a];             // a repeated label walks the diagonal
      loop.extents[at] = in[k].dims[a];
    }
    loop.strides.push_back(std::move(strides));
  }
  return loop;
}

template <typename T>
std::vector<T> contract(const Loop& loop, const std::vector<std::vector<T>>& in) {
  const Dims out_dims(loop.extents.begin(), loop.extents.begin() + static_cast<ptrdiff_t>(loop.kept));
  const Dims sum_dims(loop.extents.begin() + static_cast<ptrdiff_t>(loop.kept), loop.extents.end());
  const int64_t outputs = size_of(out_dims), terms = size_of(sum_dims);
  std::vector<T> y(static_cast<size_t>(outputs), T(0));
  for (int64_t o = 0; o < outputs; ++o)
    for (int64_t s = 0; s < terms; ++s) {
      T product = 1;
      for (size_t k = 0; k < in.size(); ++k) {
        int64_t at = 0, rest = s;
        for (size_t i = loop.extents.size(); i-- > loop.kept; rest /= loop.extents[i])
          at += rest % loop.extents[i] * loop.strides[k][i];
        rest = o;
        for (size_t i = loop.kept; i-- > 0; rest /= loop.extents[i]) at += rest % loop.extents[i] * loop.strides[k][i];
        product *= in[k][static_cast<size_t>(at)];
      }
      y[static_cast<size_t>(o)] += product;
    }
  return y;
}
}  // namespace

Result<Facts> Einsum::infer(const InferCtx& ctx) const {
  std::vector<size_t> ranks;
  for (size_t i = 0; i < ctx.inputs(); ++i) {
    if (!ctx.has(i)) return invalid("input {} is missing", i);
    CARNOT_RETURN_IF_ERROR(expect_number(ctx, info, i));
    CARNOT_RETURN_IF_ERROR(expect_same_dtype(ctx, info, i));
    ranks.push_back(ctx.rank(i));
  }
  CARNOT_ASSIGN(const Terms terms, parse(equation, ranks));
  std::map<int, Dim> extents;
  for (size_t i = 0; i < ranks.size(); ++i)
    for (size_t a = 0; a < ranks[i]; ++a) {
      const int label = terms.inputs[i][a];
      const Dim& extent = ctx.shape(i)[a];
      auto [it, added] = extents.emplace(label, extent);
      if (added || it->second == extent || extent.is(1)) continue;
      if (it->second.is(1) || (!it->second.is_constant() && extent.is_constant())) {
        it->second = extent;
      } else if (it->second.is_constant() && extent.is_constant()) {
        return invalid("{} has shape {}: axis {} of label '{}' is {}, elsewhere {}", operand(info, i),
                       to_string(ctx.shape(i)), a, label < 'A' ? "..." : std::string(1, static_cast<char>(label)),
                       extent.str(), it->second.str());
      } else if (!it->second.is_constant()) {
        it->second = Dim::max(it->second, extent);  // either may be 1
      }
    }
  Shape y;
  for (int label : terms.output) y.push_back(extents.at(label));
  return Facts{{ctx.dtype(0), std::move(y)}};
}

Status Einsum::evaluate(EvalCtx& ctx) const {
  std::vector<size_t> ranks;
  for (const TensorView& t : ctx.in) ranks.push_back(t.rank());
  CARNOT_ASSIGN(const Terms terms, parse(equation, ranks));
  const Loop loop = loop_of(terms, ctx.in);
  if (is_float(ctx.in[0].dtype)) {
    std::vector<std::vector<double>> in;
    for (const TensorView& t : ctx.in) {
      CARNOT_ASSIGN(auto values, to_doubles(t));
      in.push_back(std::move(values));
    }
    store(ctx.out[0], contract(loop, in));
    return {};
  }
  std::vector<std::vector<uint64_t>> in;  // unsigned arithmetic wraps
  for (const TensorView& t : ctx.in) {
    CARNOT_ASSIGN(const auto values, to_int64s(t));
    in.emplace_back(values.begin(), values.end());
  }
  const auto y = contract(loop, in);
  store(ctx.out[0], std::vector<int64_t>(y.begin(), y.end()));
  return {};
}

CARNOT_DEFINE_OPS(einsum, Einsum)

}  // namespace carnot::ops
