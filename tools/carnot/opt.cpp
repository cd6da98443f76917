// SPDX-License-Identifier: Apache-2.0
// carnot opt: runs passes on the text form of a graph. carnot reduce: shrinks a graph that passes break.
#include <fstream>
#include <iostream>
#include <sstream>

#include "command.hpp"
#include "passes/manager.hpp"
#include "passes/reduce.hpp"
#include "passes/support_precision.hpp"

namespace carnot::tool {
namespace {

struct Arguments {
  std::string file, precision = "fp32";
  std::vector<std::string> passes, layer_precision;
  bool elide = false;
};

Result<std::string> read_text(const std::string& path) {
  std::stringstream text;
  if (path == "-") {
    text << std::cin.rdbuf();
    return text.str();
  }
  std::ifstream file(path);
  if (!file) return fail(Code::kNotFound, "cannot open '{}'", path);
  text << file.rdbuf();
  return text.str();
}

Status opt(const Arguments& a, bool reduce) {
  CARNOT_ASSIGN(const std::string text, read_text(a.file));
  CARNOT_ASSIGN(const passes::PrecisionSettings precision, passes::parse_precision(a.precision, a.layer_precision));
  auto result = reduce ? passes::reduce_text(text, a.passes) : passes::opt(text, a.passes, a.elide, {.precision = &precision});
  if (!result) return std::move(result.error()).within(a.file);
  fmt::print("{}", *result);
  return {};
}

}  // namespace

void add_opt(CLI::App& app, int* exit_code) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("opt", "Run passes on the text form of a graph and print the result");
  c->add_option("file", a->file, "graph text, - for standard input")->required();
  c->add_option("--pass", a->passes, "passes in order: fold-constants,merge-equal")->delimiter(',');
  c->add_option("--precision", a->precision, "for set-precision: fp32 tf32 bf16 fp16")->capture_default_str();
  c->add_option("--layer-precision", a->layer_precision, "for set-precision: GLOB:TYPE or op=OPERATOR:TYPE")->allow_extra_args(false);
  c->add_flag("--elide", a->elide, "leave out the elements of large constants");
  c->callback([a, exit_code] {
    Status status = opt(*a, false);
    *exit_code = status ? kDone : report(status.error());
  });
  CLI::App* r = app.add_subcommand("reduce", "Shrink the text form of a graph while passes still fail on it, break it or change its results");
  r->add_option("file", a->file, "graph text, - for standard input")->required();
  r->add_option("--pass", a->passes, "passes in order: fold-constants,merge-equal")->delimiter(',')->required();
  r->callback([a, exit_code] {
    Status status = opt(*a, true);
    *exit_code = status ? kDone : report(status.error());
  });
}

}  // namespace carnot::tool
