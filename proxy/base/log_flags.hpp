// --log-format and --log-level, as every program that runs for long has them. For main.cpp alone: CLI11 is large.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "proxy/base/log.hpp"

namespace dbproxy::log {

struct Flags {
  Format format = Format::kKeyValue;
  Level level = Level::kInfo;
};

inline void add_flags(CLI::App& app, Flags& flags) {
  static const std::map<std::string, Format> kFormats{{"text", Format::kKeyValue}, {"json", Format::kJson}};
  static const std::map<std::string, Level> kLevels{
      {"debug", Level::kDebug}, {"info", Level::kInfo}, {"warn", Level::kWarn}, {"error", Level::kError}};
  app.add_option("--log-format", flags.format, "How log lines look; text unless told otherwise")
      ->transform(CLI::CheckedTransformer(kFormats, CLI::ignore_case))
      ->option_text("text|json");
  app.add_option("--log-level", flags.level, "The least that is logged; info unless told otherwise")
      ->transform(CLI::CheckedTransformer(kLevels, CLI::ignore_case))
      ->option_text("debug|info|warn|error");
}

}  // namespace dbproxy::log
