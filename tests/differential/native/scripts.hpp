// Scripts from the standard input, one at a time for whichever lane asks: a line with a number, one line a step, an
// empty line. And for each of them a line out.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "tests/differential/native/script.hpp"

namespace differential {

struct Script {
  std::string number;
  std::vector<Step> steps;
};

class Scripts {
 public:
  std::optional<Script> next() {
    const std::lock_guard lock(mutex_);
    Script script;
    std::string line;
    while (std::getline(std::cin, line)) {
      if (line.empty() && !script.number.empty()) return script;
      if (script.number.empty()) {
        script.number = line;
      } else if (auto step = parse_step(line)) {
        script.steps.push_back(std::move(*step));
      } else {
        std::fprintf(stderr, "not a step: %s\n", line.c_str());
        std::exit(2);
      }
    }
    return std::nullopt;
  }

  // `more`: behind that, in the same line.
  void report(const char* what, const Script& script, std::size_t steps, const std::string& more = {}) {
    const std::lock_guard lock(report_);
    std::printf("%s %s %zu%s\n", what, script.number.c_str(), steps, more.c_str());
    std::fflush(stdout);
  }

 private:
  std::mutex mutex_, report_;
};

}  // namespace differential
