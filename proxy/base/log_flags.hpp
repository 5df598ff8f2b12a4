// --log-format and --log-level, as every program that runs for long has them. For main.cpp alone: CLI11 is large.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>

#include "proxy/base/log.hpp"

namespace dbproxy::log {

struct Flags {
  Format format = Format::kKeyValue;
  Levels levels;
};

inline void add_flags(CLI::App& app, Flags& flags) {
  static const std::map<std::string, Format> kFormats{{"text", Format::kKeyValue}, {"json", Format::kJson}};
  app.add_option("--log-format", flags.format, "How log lines look; text unless told otherwise")
      ->transform(CLI::CheckedTransformer(kFormats, CLI::ignore_case))
      ->option_text("text|json");
  app.add_option_function<std::string>(
         "--log-level",
         [&flags](const std::string& text) {
           if (const std::string wrong = parse_levels(text, flags.levels); !wrong.empty())
             throw CLI::ValidationError("--log-level", wrong);
         },
         "The least that is logged, of all and of single modules; info unless told otherwise")
      ->type_name("LEVEL[,MODULE=LEVEL…]");
}

}  // namespace dbproxy::log
