// SPDX-License-Identifier: Apache-2.0
// carnot opt: runs passes on the text form of a graph.
#include <fstream>
#include <iostream>
#include <sstream>

#include "command.hpp"
#include "passes/manager.hpp"

namespace carnot::tool {
namespace {

struct Arguments {
  std::string file;
  std::vector<std::string> passes;
  bool elide = false;
};

Status opt(const Arguments& a) {
  std::stringstream text;
  if (a.file == "-") {
    text << std::cin.rdbuf();
  } else {
    std::ifstream file(a.file);
    if (!file) return fail(Code::kNotFound, "cannot open '{}'", a.file);
    text << file.rdbuf();
  }
  auto result = passes::opt(text.str(), a.passes, a.elide);
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
  c->add_flag("--elide", a->elide, "leave out the elements of large constants");
  c->callback([a, exit_code] {
    Status status = opt(*a);
    *exit_code = status ? kDone : report(status.error());
  });
}

}  // namespace carnot::tool
