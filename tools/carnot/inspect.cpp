// SPDX-License-Identifier: Apache-2.0
// carnot inspect: what is in an engine: inputs, commands, kernels and why they were chosen, memory.
#include <fstream>
#include <nlohmann/json.hpp>

#include "command.hpp"

namespace carnot::tool {
namespace {

struct Arguments {
  std::string engine, html;
  bool json = false;
};

std::string join(const nlohmann::json& list) {
  std::string out;
  for (const auto& item : list) out += (out.empty() ? "" : ", ") + item.get<std::string>();
  return out;
}

std::string escape(const std::string& text) {
  std::string out;
  for (char c : text) out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  return out;
}

std::string as_text(const nlohmann::json& d) {
  std::string out = fmt::format("producer   {}\ntarget     {}\nweights    {:.2f} MB\n", d["producer"].get<std::string>(), d["target"].get<std::string>(),
                                d["constant_bytes"].get<double>() / 1e6);
  for (const auto& [key, value] : d["build"].items()) out += fmt::format("{:<10} {}\n", key, value.get<std::string>());
  for (const char* kind : {"inputs", "outputs"})
    for (const auto& io : d[kind])
      out += fmt::format("{:<10} {} {}{}{}\n", std::string(kind).substr(0, std::string(kind).size() - 1), io["name"].get<std::string>(), io["dtype"].get<std::string>(),
                         io["shape"].get<std::string>(), io.contains("range") ? "  " + io["range"].get<std::string>() : "");
  for (size_t p = 0; p < d["plans"].size(); ++p) {
    out += p == 0 ? "\ncommands\n" : fmt::format("\ncommands of body {}\n", p);
    size_t index = 0;
    for (const auto& c : d["plans"][p]["commands"])
      out += fmt::format("{:>4}  {:<24} {:<9} {:<36} {}\n      {}\n", index++, c["kernel"].get<std::string>(), c["precision"].get<std::string>(), join(c["outputs"]), c["where"].get<std::string>(),
                         c["note"].get<std::string>());
  }
  return out;
}

std::string as_html(const nlohmann::json& d, const std::string& title) {
  std::string out = fmt::format(
      "<!doctype html><meta charset=utf-8><title>{0}</title><style>body{{font:14px sans-serif;margin:2em}}table{{border-collapse:collapse}}"
      "td,th{{border:1px solid #ccc;padding:3px 8px;text-align:left;vertical-align:top}}.ref{{background:#fff3e0}}</style><h1>{0}</h1><p>{1}, {2:.2f} MB of weights</p>",
      escape(title), escape(d["producer"].get<std::string>()), d["constant_bytes"].get<double>() / 1e6);
  for (const auto& plan : d["plans"]) {
    out += "<table><tr><th>#<th>kernel<th>precision<th>inputs<th>outputs<th>node<th>why</tr>";
    size_t index = 0;
    for (const auto& c : plan["commands"]) {
      const std::string kernel = c["kernel"];
      out += fmt::format("<tr{}><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>", kernel.starts_with("ref:") ? " class=ref" : "", index++, escape(kernel), escape(c["precision"].get<std::string>()), escape(join(c["inputs"])),
                         escape(join(c["outputs"])), escape(c["where"].get<std::string>()), escape(c["note"].get<std::string>()));
    }
    out += "</table><br>";
  }
  return out;
}

Status inspect(const Arguments& a) {
  CARNOT_ASSIGN(const Engine engine, open_engine(a.engine, nullptr));
  const auto description = nlohmann::json::parse(engine.describe_json());
  if (!a.html.empty()) {
    std::ofstream file(a.html);
    file << as_html(description, a.engine);
    file.close();
    if (!file) return fail(Code::kIo, "cannot write '{}'", a.html);
    return {};
  }
  fmt::print("{}", a.json ? description.dump(2) + "\n" : as_text(description));
  return {};
}

}  // namespace

void add_inspect(CLI::App& app, int* exit_code) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("inspect", "Show what an engine (or model) consists of");
  c->add_option("engine", a->engine, "engine or ONNX file")->required();
  c->add_flag("--json", a->json, "print JSON");
  c->add_option("--html", a->html, "write an HTML page");
  c->callback([a, exit_code] {
    Status status = inspect(*a);
    *exit_code = status ? kDone : report(status.error());
  });
}

}  // namespace carnot::tool
