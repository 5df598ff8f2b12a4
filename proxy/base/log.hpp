// One line per event: `time level module event key=value …`, or the same as JSON.
//
//   log::info("pool", "connection opened", {{"target", id}, {"open", count}});
//
// Field takes strings, numbers and booleans; Secret has no conversion to it. Any thread may log. Levels, of all and of
// single modules, can be changed while running. The output is standard error.
#pragma once

#include <concepts>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace dbproxy::log {

enum class Level { kDebug, kInfo, kWarn, kError, kOff };
enum class Format { kKeyValue, kJson };

struct Field {
  Field(std::string_view k, std::string_view v) : key(k), value(v), quoted(true) {}
  Field(std::string_view k, const char* v) : key(k), value(v), quoted(true) {}
  Field(std::string_view k, const std::string& v) : key(k), value(v), quoted(true) {}
  Field(std::string_view k, bool v) : key(k), value(v ? "true" : "false") {}
  template <class T>
  requires(std::integral<T> || std::floating_point<T>) Field(std::string_view k, T v)
      : key(k), value(std::to_string(v)) {}

  std::string_view key;
  std::string value;
  bool quoted = false;  // JSON needs to know; key=value quotes by content
};

using Fields = std::initializer_list<Field>;

// The least that is logged.
struct Levels {
  Level all = Level::kInfo;
  std::map<std::string, Level, std::less<>> modules;  // in place of `all`
};

// "LEVEL", "MODULE=LEVEL", or several with commas between them, which change `levels`; a LEVEL alone comes first and
// is that of all modules. Returns "", or what is wrong, and then `levels` is as it was.
std::string parse_levels(std::string_view text, Levels& levels);
std::string to_text(const Levels& levels);  // as parse_levels takes it

std::span<const std::string_view> modules();  // all that log, by name

void configure(Format format, const Levels& levels);
void set_levels(const Levels& levels);
Levels levels();
bool enabled(Level level);  // for some module: `write` looks closer
void write(Level level, std::string_view module, std::string_view event, Fields fields = {});

// The line without its time, as `write` would print it: for tests.
std::string render(Format format, Level level, std::string_view module, std::string_view event, Fields fields);

inline void debug(std::string_view module, std::string_view event, Fields fields = {}) {
  if (enabled(Level::kDebug)) write(Level::kDebug, module, event, fields);
}
inline void info(std::string_view module, std::string_view event, Fields fields = {}) {
  write(Level::kInfo, module, event, fields);
}
inline void warn(std::string_view module, std::string_view event, Fields fields = {}) {
  write(Level::kWarn, module, event, fields);
}
inline void error(std::string_view module, std::string_view event, Fields fields = {}) {
  write(Level::kError, module, event, fields);
}

}  // namespace dbproxy::log
