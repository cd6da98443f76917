// SPDX-License-Identifier: Apache-2.0
// What the subcommands of `carnot` share.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "carnot/carnot.hpp"
#include "compiler/compile.hpp"

namespace carnot::tool {

// Exit codes (docs: `carnot --help`).
inline constexpr int kDone = 0, kRefused = 1, kUsage = 2, kBug = 3;

// Each adds one subcommand; *exit_code is set when it runs.
void add_build(CLI::App& app, int* exit_code);
void add_run(CLI::App& app, int* exit_code);
void add_bench(CLI::App& app, int* exit_code);
void add_inspect(CLI::App& app, int* exit_code);
void add_opt(CLI::App& app, int* exit_code);
void add_serve(CLI::App& app, int* exit_code);
void add_load(CLI::App& app, int* exit_code);

// Prints "carnot: error: ..." on standard error; the exit code that goes with it.
int report(const Error& error);
// True after Ctrl-C or SIGTERM.
bool interrupted();
// From now on those two are noted, and a mapped file that is cut short ends the program with a message and kRefused.
void catch_interrupts();

// "x:1x3x224x224", "x:1,3,224,224..8,3,224,224..32,3,224,224": name and range.
Result<std::pair<std::string, compiler::ShapeRange>> parse_shape(const std::string& text);
// The shape of each input: as these --shape options say (the middle of a range), else by `unnamed(input, axis)` where it is dynamic.
Result<std::vector<Dims>> input_shapes(const Engine& engine, const std::vector<std::string>& texts, const std::function<int64_t(const IoInfo&, size_t)>& unnamed);
// Imports and compiles with a progress line on a terminal.
Result<std::vector<std::byte>> build_model(const std::string& path, compiler::BuildOptions options, bool quiet);
// The engine of a path: an engine file is loaded; a model is built with defaults and cached under the user's cache folder.
Result<Engine> open_engine(const std::string& path, double* build_seconds, const std::string& device = "");

}  // namespace carnot::tool
