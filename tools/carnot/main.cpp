// SPDX-License-Identifier: Apache-2.0
// carnot: the one command line.
#include <exception>

#include "command.hpp"

int main(int argc, char** argv) {
  CLI::App app{"Carnot: builds inference engines from trained models and runs them.\n"
               "Exit codes: 0 done, 1 the input was refused, 2 usage, 3 a bug of ours."};
  app.name("carnot");
  app.set_version_flag("--version", std::string("carnot ") + carnot_version());
  app.require_subcommand(1);
  int exit_code = carnot::tool::kDone;
  carnot::tool::add_build(app, &exit_code);
  carnot::tool::add_run(app, &exit_code);
  carnot::tool::add_bench(app, &exit_code);
  carnot::tool::add_inspect(app, &exit_code);
  carnot::tool::add_opt(app, &exit_code);
  carnot::tool::add_serve(app, &exit_code);
  carnot::tool::add_load(app, &exit_code);
  carnot::tool::catch_interrupts();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? carnot::tool::kDone : carnot::tool::kUsage;
  } catch (const carnot::Exception& e) {
    return carnot::tool::report({static_cast<carnot::Code>(e.status()), e.what()});
  } catch (const std::bad_alloc&) {
    return carnot::tool::report({carnot::Code::kOutOfMemory, "out of memory"});
  } catch (const std::exception& e) {
    return carnot::tool::report({carnot::Code::kInternal, e.what()});
  }
  return exit_code;
}
