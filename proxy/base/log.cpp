#include "proxy/base/log.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "proxy/base/log_fields.hpp"

namespace dbproxy::log {
namespace {

std::atomic<Level> lowest_level{Level::kInfo};              // of all and of every module
std::atomic<std::shared_ptr<const Levels>> current_levels;  // none: the default ones
std::atomic<Format> current_format{Format::kKeyValue};

constexpr std::string_view kNames[] = {"debug", "info", "warn", "error", "off"};
// tests/docs/check.py holds them against what is logged.
constexpr std::string_view kModules[] = {"admin", "aws",   "budget",  "client",     "config",   "control", "dbproxy",
                                         "drain", "grpc",  "http",    "kubernetes", "manifest", "net",     "operator",
                                         "pool",  "query", "session", "source",     "topology", "webhook"};

std::optional<Level> level_named(std::string_view name) {
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<Level>(i);
  }
  return std::nullopt;
}

Level level_of(std::string_view module) {
  const auto levels = current_levels.load();
  if (!levels) return Levels().all;
  const auto found = levels->modules.find(module);
  return found == levels->modules.end() ? levels->all : found->second;
}

void append_escaped(std::string& out, std::string_view text) {
  out += '"';
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20 || c == 0x7f) {
      constexpr char kHex[] = "0123456789abcdef";
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else {
      out += static_cast<char>(c);
    }
  }
  out += '"';
}

bool plain(std::string_view text) {
  if (text.empty()) return false;
  for (unsigned char c : text) {
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f) return false;
  }
  return true;
}

spdlog::logger& logger() {
  static auto instance = [] {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    auto made = std::make_shared<spdlog::logger>("dbproxy", std::move(sink));
    made->set_level(spdlog::level::trace);
    made->flush_on(spdlog::level::trace);
    made->set_pattern("%v");
    return made;
  }();
  return *instance;
}

std::string timestamp() {
  auto now = std::chrono::system_clock::now();
  auto seconds = std::chrono::system_clock::to_time_t(now);
  auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  auto size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::string out(text, size);
  std::snprintf(text, sizeof text, ".%03dZ", static_cast<int>(millis));
  return out + text;
}

std::string render_all(Format format, Level level, std::string_view module, std::string_view event,
                       std::span<const Field> fields) {
  std::string out;
  auto name = kNames[static_cast<int>(level)];
  if (format == Format::kJson) {
    out += "\"level\":\"";
    out += name;
    out += "\",\"module\":";
    append_escaped(out, module);
    out += ",\"event\":";
    append_escaped(out, event);
    for (const auto& field : fields) {
      out += ',';
      append_escaped(out, field.key);
      out += ':';
      if (field.quoted) {
        append_escaped(out, field.value);
      } else {
        out += field.value;
      }
    }
    return out;
  }
  out += name;
  out += ' ';
  out += module;
  out += ": ";
  out += event;
  for (const auto& field : fields) {
    out += ' ';
    out += field.key;
    out += '=';
    if (plain(field.value)) {
      out += field.value;
    } else {
      append_escaped(out, field.value);
    }
  }
  return out;
}

}  // namespace

std::span<const std::string_view> modules() {
  return kModules;
}

std::string parse_levels(std::string_view text, Levels& levels) {
  Levels out = levels;
  bool more = true;
  for (bool first = true; more; first = false) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    more = comma != std::string_view::npos;
    text.remove_prefix(more ? comma + 1 : text.size());
    const std::size_t equals = part.find('=');
    const std::string_view name = equals == std::string_view::npos ? part : part.substr(equals + 1);
    const auto level = level_named(name);
    if (!level) return "'" + std::string(name.substr(0, 40)) + "' is no level: debug, info, warn, error or off";
    if (equals == std::string_view::npos) {
      if (!first) return "a level for all modules stands first";
      out = {*level, {}};
      continue;
    }
    const std::string_view module = part.substr(0, equals);
    if (std::find(std::begin(kModules), std::end(kModules), module) == std::end(kModules)) {
      std::string sentence = "'" + std::string(module.substr(0, 40)) + "' is no module that logs; there are";
      for (const std::string_view each : kModules) sentence.append(" ").append(each);
      return sentence;
    }
    out.modules[std::string(module)] = *level;
  }
  levels = std::move(out);
  return {};
}

std::string to_text(const Levels& levels) {
  std::string out(kNames[static_cast<int>(levels.all)]);
  for (const auto& [module, level] : levels.modules) {
    out.append(",").append(module).append("=").append(kNames[static_cast<int>(level)]);
  }
  return out;
}

void set_levels(const Levels& levels) {
  Level lowest = levels.all;
  for (const auto& [module, level] : levels.modules) lowest = std::min(lowest, level);
  current_levels = std::make_shared<const Levels>(levels);
  lowest_level = lowest;
}

Levels levels() {
  const auto now = current_levels.load();
  return now ? *now : Levels();
}

void configure(Format format, const Levels& levels) {
  current_format = format;
  set_levels(levels);
}

bool enabled(Level level) {
  return level >= lowest_level.load(std::memory_order_relaxed);
}

std::string render(Format format, Level level, std::string_view module, std::string_view event, Fields fields) {
  return render_all(format, level, module, event, std::span(fields.begin(), fields.size()));
}
void write(Level level, std::string_view module, std::string_view event, Fields fields) {
  write_all(level, module, event, std::span(fields.begin(), fields.size()));
}

void write_all(Level level, std::string_view module, std::string_view event, std::span<const Field> fields) {
  if (!enabled(level) || level < level_of(module)) return;
  auto format = current_format.load(std::memory_order_relaxed);
  auto line = render_all(format, level, module, event, fields);
  // spdlog gets the finished line as a value, never as a format string.
  if (format == Format::kJson) {
    logger().info("{{\"time\":\"{}\",{}}}", timestamp(), line);
  } else {
    logger().info("{} {}", timestamp(), line);
  }
}

}  // namespace dbproxy::log
