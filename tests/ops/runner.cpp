// SPDX-License-Identifier: Apache-2.0
// Runs tests/ops/*.test (see text_case.hpp for the form). One GoogleTest per file: --gtest_filter='*.gather'. Each line
// goes through
//   infer with static dims and known data · infer with every dim a symbol, then bound · every path of paths.hpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "paths.hpp"
#include "text_case.hpp"

namespace carnot::test {
namespace {

double default_tolerance(DType dtype) {
  if (dtype == DType::kF16) return 2e-3;
  if (dtype == DType::kBF16) return 2e-2;
  return is_float(dtype) ? 1e-5 : 0;
}

// Empty if they agree. NaN equals NaN and infinities must be the same.
std::string difference(const Constant& got, const Constant& expected, double tolerance) {
  if (got.dtype != expected.dtype || got.dims != expected.dims)
    return fmt::format("got {}{}, expected {}{}", dtype_name(got.dtype), to_string(got.dims),
                       dtype_name(expected.dtype), to_string(expected.dims));
  if (got.dtype == DType::kString) {
    for (int64_t i = 0; i < got.size(); ++i)
      if (got.as<std::string>()[i] != expected.as<std::string>()[i])
        return fmt::format("element {}: got \"{}\", expected \"{}\"", i, got.as<std::string>()[i],
                           expected.as<std::string>()[i]);
    return "";
  }
  std::string out;
  dispatch_dtype(got.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    int64_t wrong = 0;
    for (int64_t i = 0; i < got.size(); ++i) {
      const T a = got.as<T>()[i], b = expected.as<T>()[i];
      bool same;
      if (is_float(got.dtype)) {
        const double x = static_cast<double>(a), y = static_cast<double>(b);
        same = (std::isnan(x) && std::isnan(y)) || x == y || std::abs(x - y) <= tolerance * std::max(1.0, std::abs(y));
      } else {
        const double gap = static_cast<double>(a) - static_cast<double>(b);
        same = a == b || (tolerance >= 1 && std::abs(gap) <= tolerance);
      }
      if (!same && wrong++ == 0)
        out = fmt::format("element {}: got {}, expected {}", i, static_cast<double>(a), static_cast<double>(b));
    }
    if (wrong > 1) out += fmt::format(" ({} of {} elements differ)", wrong, got.size());
  });
  return out;
}

Constant transposed(const Constant& from, const std::vector<int64_t>& perm) {
  Constant to = make_tensor(from.dtype, from.dims);
  for (size_t i = 0; i < perm.size(); ++i) to.dims[i] = from.dims[static_cast<size_t>(perm[i])];
  const Dims strides = strides_of(from.dims);
  dispatch_dtype(from.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < to.size(); ++i) {
      int64_t rest = i, at = 0;
      for (size_t k = perm.size(); k-- > 0; rest /= to.dims[k])
        at += rest % to.dims[k] * strides[static_cast<size_t>(perm[k])];
      static_cast<T*>(to.mutable_data())[i] = from.as<T>()[at];
    }
  });
  return to;
}

std::string describe(const ops::ValueFacts& f) { return fmt::format("{}{}", dtype_name(f.dtype), to_string(f.shape)); }

class Case {
 public:
  explicit Case(const TextCase& c) : c_(c) {
    for (const Operand& in : c.inputs) inputs_.push_back({in.data});
    for (const Operand& out : c.results) wanted_.push_back(out.kind != Operand::Kind::kAbsent);
  }

  // The first thing that is wrong; empty if nothing is.
  std::string run() {
    auto op = ops::make_op(c_.op, c_.attrs);
    if (!op) return refused(op.error().message);
    op_ = *op;
    if (c_.error) {  // every output that the operator must have
      for (std::string_view name : op_.info().outputs) wanted_.push_back(!name.ends_with('?'));
      while (!wanted_.empty() && !wanted_.back()) wanted_.pop_back();
    }
    if (std::string bad = round_trip(); !bad.empty()) return bad;
    auto present = std::make_unique<bool[]>(inputs_.size());
    for (size_t i = 0; i < inputs_.size(); ++i) present[i] = inputs_[i].tensor.has_value();
    if (Status s = ops::check_arity(op_.info(), {present.get(), inputs_.size()}, wanted_.size()); !s)
      return refused(s.message());

    auto known = infer(false, true);
    if (!known) return refused(known.error().message);
    auto out = run_reference(op_, inputs_, wanted_);
    if (!out) return refused(out.error().message);
    if (c_.error) return fmt::format("expected an error with \"{}\", but it ran", *c_.error);
    if (std::string bad = check_facts("static dims", *known, *out); !bad.empty()) return bad;
    auto symbolic = infer(true, true);
    // A rank that hangs on a dim is the one thing that cannot be said.
    if (!symbolic && symbolic.error().code != Code::kUnsupported)
      return "with symbolic dims: " + symbolic.error().message;
    if (symbolic)
      if (std::string bad = check_facts("symbolic dims", *symbolic, *out); !bad.empty()) return bad;
    // Without any data inference may give up (an unknown rank), but it may not say anything untrue.
    if (auto blind = infer(false, false); blind)
      if (std::string bad = check_facts("unknown data", *blind, *out); !bad.empty()) return bad;

    for (const Path& path : paths()) {
      auto results = path.run(op_, inputs_, wanted_);
      if (!results) return path.name + ": " + results.error().message;
      for (size_t i = 0; i < wanted_.size(); ++i) {
        if (!wanted_[i]) continue;
        if (!(*results)[i]) return fmt::format("{}: output {} is missing", path.name, i);
        const Constant& got = *(*results)[i];
        const Operand& o = c_.results[i];
        if (o.kind == Operand::Kind::kShape && (got.dtype != o.dtype || got.dims != o.dims))
          return fmt::format("{}: output {}: got {}{}", path.name, i, dtype_name(got.dtype), to_string(got.dims));
        const Constant& expected = o.kind == Operand::Kind::kData ? *o.data : *(*out)[i];
        const double tolerance = c_.tolerance.value_or(default_tolerance(expected.dtype)) * path.slack;
        if (std::string bad = difference(got, expected, tolerance); !bad.empty())
          return fmt::format("{}: output {}: {}", path.name, i, bad);
      }
    }
    return check_permuted(*out);
  }

 private:
  // Operators with permuted() must give the same on permuted axes. With a `layout` attribute only input 0 has these
  // axes.
  std::string check_permuted(const std::vector<std::optional<Constant>>& expected) const {
    if (inputs_.empty() || !inputs_[0].tensor) return "";
    const size_t rank = inputs_[0].tensor->dims.size();
    if (rank < 2) return "";
    std::vector<int64_t> last{0}, back{0, static_cast<int64_t>(rank) - 1};  // channels last, and back
    for (size_t i = 2; i < rank; ++i) last.push_back(static_cast<int64_t>(i));
    last.push_back(1);
    for (size_t i = 1; i + 1 < rank; ++i) back.push_back(static_cast<int64_t>(i));
    for (const auto& perm : {last, back}) {
      auto op = op_.permuted(perm);
      if (!op) continue;
      const ops::Attrs attrs = op->attrs();
      const bool layout =
          std::any_of(attrs.begin(), attrs.end(), [](const auto& a) { return a.first == "layout"; }) ||
          std::any_of(c_.attrs.begin(), c_.attrs.end(), [](const auto& a) { return a.first == "layout"; });
      std::vector<PathInput> inputs = inputs_;
      for (size_t i = 0; i < inputs.size(); ++i)
        if (inputs[i].tensor && inputs[i].tensor->dims.size() == rank && (i == 0 || !layout))
          inputs[i].tensor = transposed(*inputs[i].tensor, perm);
      auto got = run_reference(*op, inputs, wanted_);
      if (!got) return fmt::format("{}: {}", op->str(), got.error().message);
      for (size_t i = 0; i < wanted_.size(); ++i) {
        if (!wanted_[i]) continue;
        const std::string bad =
            difference(*(*got)[i], transposed(*expected[i], perm), default_tolerance(expected[i]->dtype));
        if (!bad.empty()) return fmt::format("{} on axes {}: {}", op->str(), ops::to_string(ops::Attr(perm)), bad);
      }
    }
    return "";
  }

  std::string refused(const std::string& message) const {
    if (!c_.error) return message;
    if (message.find(*c_.error) != std::string::npos) return "";
    return fmt::format("expected an error with \"{}\", got \"{}\"", *c_.error, message);
  }

  // Attributes survive printing and parsing.
  std::string round_trip() const {
    ops::Attrs again;
    for (const auto& [name, value] : op_.attrs()) {
      auto parsed = ops::parse_attr(ops::to_string(value));
      if (!parsed) return fmt::format("attribute {} does not parse back: {}", name, parsed.error().message);
      again.emplace_back(name, *parsed);
    }
    auto op = ops::make_op(op_.name(), again);
    if (!op) return op.error().message;
    return *op == op_ || op->str() == op_.str() ? "" : fmt::format("{} reads back as {}", op_.str(), op->str());
  }

  Result<ops::Facts> infer(bool symbolic, bool with_data) {
    std::vector<TensorView> views(inputs_.size());
    std::vector<ops::ValueFacts> facts(inputs_.size());
    std::vector<ops::InferCtx::Input> operands(inputs_.size());
    symbols_.clear();
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (!inputs_[i].tensor) continue;
      const Constant& tensor = *inputs_[i].tensor;
      views[i] = tensor.view();
      facts[i] = {tensor.dtype, to_shape(tensor.dims)};
      // A small vector or scalar is taken for a parameter that the model knows (a shape, axes, a limit).
      const bool parameter = tensor.dims.size() <= 1 && tensor.size() <= 16;
      if (symbolic && !parameter)
        for (size_t d = 0; d < tensor.dims.size(); ++d) {
          if (tensor.dims[d] == 0) continue;  // broadcasting 0 against 1 is not what max(a, b) says
          const std::string name = fmt::format("d{}_{}", i, d);
          symbols_[name] = tensor.dims[d];
          facts[i].shape[d] = Dim::symbol(name);
        }
      operands[i] = {&facts[i], with_data && (!symbolic || parameter) ? &views[i] : nullptr};
    }
    int fresh = 0;
    ops::InferCtx ctx(operands, wanted_.size(),
                      [&](std::string_view) { return Dim::symbol(fmt::format("${}", fresh++)); });
    return op_.infer(ctx);
  }

  std::string check_facts(std::string_view how, const ops::Facts& facts,
                          const std::vector<std::optional<Constant>>& outputs) const {
    if (facts.size() < wanted_.size()) return fmt::format("{}: {} outputs inferred", how, facts.size());
    for (size_t i = 0; i < wanted_.size(); ++i) {
      if (!wanted_[i]) continue;
      const Constant& real = *outputs[i];
      if (facts[i].dtype != real.dtype || facts[i].shape.size() != real.dims.size())
        return fmt::format("{}: output {} inferred as {}, is {}{}", how, i, describe(facts[i]), dtype_name(real.dtype),
                           to_string(real.dims));
      for (size_t d = 0; d < real.dims.size(); ++d) {
        auto value = facts[i].shape[d].eval(symbols_);
        if (value && *value != real.dims[d])
          return fmt::format("{}: output {} inferred as {}, is {}{}", how, i, describe(facts[i]),
                             dtype_name(real.dtype), to_string(real.dims));
      }
      if (!facts[i].values) continue;
      auto ints = to_int64s(real.view());
      if (!ints || ints->size() != facts[i].values->size())
        return fmt::format("{}: output {}: tracked values do not fit {}", how, i, describe(facts[i]));
      for (size_t k = 0; k < ints->size(); ++k) {
        auto value = (*facts[i].values)[k].eval(symbols_);
        if (value && *value != (*ints)[k])
          return fmt::format("{}: output {}: tracked value {} is {}, really {}", how, i, k, (*facts[i].values)[k].str(),
                             (*ints)[k]);
      }
    }
    return "";
  }

  const TextCase& c_;
  ops::Operator op_;
  std::vector<PathInput> inputs_;
  std::vector<bool> wanted_;
  std::map<std::string, int64_t, std::less<>> symbols_;
};

class FileTest : public testing::Test {
 public:
  explicit FileTest(std::string path) : path_(std::move(path)) {}
  void TestBody() override {
    auto file = read_text_file(path_);
    ASSERT_TRUE(file) << file.error().message;
    for (const auto& [line, message] : file->broken) ADD_FAILURE_AT(path_.c_str(), line) << message;
    EXPECT_FALSE(file->cases.empty() && file->broken.empty()) << path_ << " holds no case";
    for (const TextCase& c : file->cases) {
      const std::string bad = Case(c).run();
      if (!bad.empty()) ADD_FAILURE_AT(path_.c_str(), c.line) << c.text << "\n  " << bad;
    }
  }

 private:
  std::string path_;
};

// Operators with bodies cannot be written as a line; graphs test them.
class CoverageTest : public testing::Test {
 public:
  explicit CoverageTest(std::set<std::filesystem::path> files) : files_(std::move(files)) {}
  void TestBody() override {
    std::set<std::string, std::less<>> seen;
    for (const auto& path : files_)
      if (auto file = read_text_file(path.string()))
        for (const TextCase& c : file->cases) seen.insert(c.op);
    for (const ops::OpEntry* entry : ops::all_ops())
      EXPECT_TRUE(entry->info->bodies > 0 || seen.contains(entry->info->name))
          << "no line tests operator '" << entry->info->name << "'";
  }

 private:
  std::set<std::filesystem::path> files_;
};

}  // namespace
}  // namespace carnot::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 2 && std::string_view(argv[1]) == "--device") {
    carnot::test::engine_device() = argv[2];
    argv += 2, argc -= 2;
  }
  const std::string folder = argc > 1 ? argv[1] : "tests/ops";
  std::set<std::filesystem::path> files;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (entry.path().extension() == ".test") files.insert(entry.path());
  if (files.empty()) {
    fprintf(stderr, "no .test files in '%s' (usage: op_tests [--device cuda] [folder])\n", folder.c_str());
    return 2;
  }
  for (const auto& path : files)
    testing::RegisterTest("OpText", path.stem().c_str(), nullptr, nullptr, path.c_str(), 1,
                          [path] { return new carnot::test::FileTest(path.string()); });
  if (argc == 1)  // a folder given by hand need not cover everything
    testing::RegisterTest("OpTextCoverage", "every_operator_has_a_line", nullptr, nullptr, __FILE__, __LINE__,
                          [files] { return new carnot::test::CoverageTest(files); });
  const int result = RUN_ALL_TESTS();
  for (const auto& [where, operators] : carnot::test::ran_on()) {
    printf("[ON %s]", where.c_str());
    for (const std::string& op : operators) printf(" %s", op.c_str());
    printf("\n");
  }
  return result;
}
