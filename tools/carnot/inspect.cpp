// SPDX-License-Identifier: Apache-2.0
// carnot inspect: what is in an engine: inputs, commands, kernels and why they were chosen, memory.
#include <fstream>
#include <nlohmann/json.hpp>

#include "command.hpp"

namespace carnot::tool {
namespace {

struct Arguments {
  std::string engine, html;
  std::vector<std::string> shapes;
  int threads = 0;
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

std::string megabytes(const nlohmann::json& bytes) { return fmt::format("{:.2f} MB", bytes.get<double>() / 1e6); }

// Lines without a heading of their own: working memory, its peak, scratch, what shares it.
std::vector<std::string> memory_lines(const nlohmann::json& m) {
  std::vector<std::string> lines;
  std::string shapes;
  const nlohmann::json given = m.value("shapes", nlohmann::json::object());
  for (const auto& [name, dims] : given.items()) {
    std::string text;
    for (const auto& d : dims) text += (text.empty() ? "" : "x") + std::to_string(d.get<int64_t>());
    shapes += fmt::format("{}{}:{}", shapes.empty() ? "" : ", ", name, text);
  }
  for (const std::string prefix : {"", "device_"}) {
    if (!m.contains(prefix + "working_bytes")) continue;
    std::string line = fmt::format("{}{} of working memory", megabytes(m[prefix + "working_bytes"]), prefix.empty() ? "" : " on the device");
    if (prefix.empty()) line += fmt::format(" and {} of workspace for {} on {} threads", megabytes(m["workspace_bytes"]), shapes.empty() ? "a run" : shapes, m["threads"].get<int64_t>());
    lines.push_back(line);
    if (!m.contains(prefix + "peak")) continue;
    const auto& peak = m[prefix + "peak"];
    lines.push_back(fmt::format("peak{} {} at command {}, {} {}", prefix.empty() ? "" : " on the device", megabytes(peak["bytes"]), peak["command"].get<int64_t>(), peak["kernel"].get<std::string>(),
                                peak["where"].get<std::string>()));
  }
  if (!m.contains("working_bytes")) lines.push_back("depends on the inputs' sizes: name them with --shape");
  std::string sharing = fmt::format("{} values, of which {} are views, {} lie in place of an operand, {} are parts of others", m["values"].get<int64_t>(), m["views"].get<int64_t>(), m["in_place"].get<int64_t>(),
                                    m["parts"].get<int64_t>());
  if (m["sized_by_run"] > 0) sharing += fmt::format("; {} more of a size that only a run tells", m["sized_by_run"].get<int64_t>());
  lines.push_back(sharing);
  return lines;
}

std::string as_text(const nlohmann::json& d) {
  std::string out = fmt::format("producer   {}\ntarget     {}\nweights    {}\n", d["producer"].get<std::string>(), d["target"].get<std::string>(), megabytes(d["constant_bytes"]));
  for (const std::string& line : memory_lines(d["memory"])) out += fmt::format("memory     {}\n", line);
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
      "td,th{{border:1px solid #ccc;padding:3px 8px;text-align:left;vertical-align:top}}.ref{{background:#fff3e0}}</style><h1>{0}</h1><p>{1}, {2} of weights</p>",
      escape(title), escape(d["producer"].get<std::string>()), megabytes(d["constant_bytes"]));
  for (const std::string& line : memory_lines(d["memory"])) out += fmt::format("<p>{}</p>", escape(line));
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
  auto description = nlohmann::json::parse(engine.describe_json());
  // Without --shape the engine's own bounds hold, if it has any.
  std::vector<Dims> shapes;
  if (!a.shapes.empty()) {
    CARNOT_ASSIGN(shapes, input_shapes(engine, a.shapes, [](const IoInfo& io, size_t axis) { return io.max.empty() || io.max[axis] < 0 ? 1 : io.max[axis]; }));
  }
  description["memory"] = nlohmann::json::parse(engine.memory_json(shapes, a.threads));
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
  c->add_option("--shape", a->shapes, "NAME:1x3x224x224: the inputs that memory is told for; dynamic dims of inputs that are not named have the largest size that the engine was built for, else 1");
  c->add_option("--threads", a->threads, "threads that workspace is told for (0: one per core)")->capture_default_str();
  c->add_flag("--json", a->json, "print JSON");
  c->add_option("--html", a->html, "write an HTML page");
  c->callback([a, exit_code] {
    Status status = inspect(*a);
    *exit_code = status ? kDone : report(status.error());
  });
}

}  // namespace carnot::tool
