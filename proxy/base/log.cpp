#include "proxy/base/log.hpp"

#include <atomic>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace dbproxy::log {
namespace {

std::atomic<Level> current_level{Level::kInfo};
std::atomic<Format> current_format{Format::kKeyValue};

constexpr std::string_view kNames[] = {"debug", "info", "warn", "error", "off"};

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

}  // namespace

void configure(Format format, Level level) {
  current_format = format;
  current_level = level;
}

bool enabled(Level level) {
  return level >= current_level.load(std::memory_order_relaxed);
}

std::string render(Format format, Level level, std::string_view module, std::string_view event, Fields fields) {
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

void write(Level level, std::string_view module, std::string_view event, Fields fields) {
  if (!enabled(level)) return;
  auto format = current_format.load(std::memory_order_relaxed);
  auto line = render(format, level, module, event, fields);
  // spdlog gets the finished line as a value, never as a format string.
  if (format == Format::kJson) {
    logger().info("{{\"time\":\"{}\",{}}}", timestamp(), line);
  } else {
    logger().info("{} {}", timestamp(), line);
  }
}

}  // namespace dbproxy::log
