// SPDX-License-Identifier: Apache-2.0
// A stand-in for NVRTC (libnvrtc.so.13): compiles CUDA text for the host behind tests/cuda_text/shim.hpp. What it made is kept in the
// build folder, so that only new texts are compiled again; the "machine code" is the name of the file.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>

namespace {

struct Program {
  std::string source, code, log;
};

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// What the driver must know of each entry: how many arguments it takes, and whether its threads wait for each other.
std::string facts_of(const std::string& source) {
  std::string facts;
  bool fibers = false;
  for (const char* word : {"__syncthreads(", "__syncwarp(", "__shfl_", "__ballot_sync("}) fibers = fibers || source.find(word) != std::string::npos;
  for (size_t at = 0; (at = source.find("extern \"C\" __global__", at)) != std::string::npos; ++at) {
    const size_t end = source.find('{', at), bounds = source.find("__launch_bounds__(", at);
    const size_t after = bounds < end ? source.find(')', bounds) + 1 : source.find("void", at) + 4;
    const size_t open = source.find('(', after), close = source.rfind(')', end), name = source.find_first_not_of(' ', after);
    const std::string list = source.substr(open + 1, close - open - 1), entry = source.substr(name, open - name);
    const auto count = list.find_first_not_of(' ') == std::string::npos ? 0 : 1 + std::count(list.begin(), list.end(), ',');
    facts += "extern \"C\" const int " + entry + "_parameters = " + std::to_string(count) + ";\nextern \"C\" const bool " + entry + "_fibers = " + (fibers ? "true" : "false") + ";\n";
  }
  return facts;
}

}  // namespace

extern "C" {

using nvrtcProgram = Program*;

int nvrtcCreateProgram(nvrtcProgram* program, const char* source, const char*, int, const char* const*, const char* const*) {
  *program = new Program{source, {}, {}};
  return 0;
}
int nvrtcDestroyProgram(nvrtcProgram* program) {
  delete *program;
  *program = nullptr;
  return 0;
}
int nvrtcVersion(int* major, int* minor) { return *major = 13, *minor = 0; }

int nvrtcCompileProgram(nvrtcProgram program, int, const char* const*) {
  const std::string text = read(CARNOT_TEXT_SHIM) + program->source + facts_of(program->source);
  const std::string stem = std::string(CARNOT_STAND_IN_FOLDER) + "/text_" + std::to_string(std::hash<std::string>{}(text));
  const std::string library = stem + ".so";
  if (!std::filesystem::exists(library)) {
    // Several processes may make the same.
    const std::string own = stem + "_" + std::to_string(reinterpret_cast<uintptr_t>(program)) + "_" + std::to_string(std::rand());
    std::ofstream(own + ".cpp") << text;
    const std::string command = std::string(CARNOT_TEXT_COMPILER) + " -std=c++20 -O1 -w -fwrapv -fno-strict-aliasing -mf16c -fPIC -shared -o " + own + ".so " + own + ".cpp >" + own + ".log 2>&1";
    const bool done = std::system(command.c_str()) == 0;
    program->log = read(own + ".log");
    if (done) std::filesystem::rename(own + ".so", library);
    for (const char* end : {".cpp", ".log"}) std::filesystem::remove(own + end);
    if (!done) return 6;
  }
  program->code = "stand-in code " + library;
  return 0;
}

int nvrtcGetProgramLogSize(nvrtcProgram program, size_t* size) { return *size = program->log.size() + 1, 0; }
int nvrtcGetProgramLog(nvrtcProgram program, char* log) { return std::strcpy(log, program->log.c_str()), 0; }
int nvrtcGetCUBINSize(nvrtcProgram program, size_t* size) { return *size = program->code.size() + 1, 0; }
int nvrtcGetCUBIN(nvrtcProgram program, char* code) { return std::strcpy(code, program->code.c_str()), 0; }
const char* nvrtcGetErrorString(int result) { return result == 0 ? "success" : "compilation"; }

}  // extern "C"
