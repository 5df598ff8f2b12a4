#include <algorithm>

#include "proxy/metrics/page.hpp"

namespace dbproxy::metrics {
namespace {

constexpr std::string_view kTotal = "_total";

// "HELP name text" or "TYPE name type" without its "# ".
void comment(std::string_view line, std::string_view counter, std::string& out) {
  const auto name_at = line.find(' ') + 1;
  const auto rest_at = std::min(line.find(' ', name_at), line.size());
  auto name = line.substr(name_at, rest_at - name_at);
  if (name == counter && name.ends_with(kTotal)) name.remove_suffix(kTotal.size());
  out.append("# ").append(line.substr(0, name_at)).append(name);
  for (const char c : line.substr(rest_at)) {
    if (c == '"') out += '\\';
    out += c;
  }
  out += '\n';
}

std::string_view next_line(std::string_view& text) {
  const auto end = text.find('\n');
  const auto line = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return line;
}

// The name in "TYPE name counter", or "".
std::string_view counter_of(std::string_view line) {
  if (!line.starts_with("# TYPE ") || !line.ends_with(" counter")) return {};
  line.remove_prefix(std::string_view("# TYPE ").size());
  return line.substr(0, line.find(' '));
}

}  // namespace

std::string open_metrics(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 8);
  while (!text.empty()) {
    const auto line = next_line(text);
    if (line.starts_with("# HELP ")) {
      // The line after it tells the type.
      auto ahead = text;
      comment(line.substr(2), counter_of(next_line(ahead)), out);
    } else if (line.starts_with("# TYPE ")) {
      comment(line.substr(2), counter_of(line), out);
    } else if (!line.empty()) {
      out.append(line) += '\n';
    }
  }
  return out += "# EOF\n";
}

Rendered rendered(std::string text, std::string_view accept) {
  if (accept.find("application/openmetrics-text") == std::string_view::npos) {
    return {"text/plain; version=0.0.4; charset=utf-8", std::move(text)};
  }
  return {"application/openmetrics-text; version=1.0.0; charset=utf-8", open_metrics(text)};
}

}  // namespace dbproxy::metrics
