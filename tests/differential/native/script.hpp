// One line of a script (../script.py has the forms), and the messages that it stands for.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace differential {

struct Step {
  char client = 0;
  char kind = 0;
  bool binary = false;
  std::string text;
};

// Nothing: this is not a step.
std::optional<Step> parse_step(std::string_view line);

// What a step sends, and how many times ReadyForQuery answers it. For all kinds but @ ! $.
struct Messages {
  std::string bytes;
  int ready = 1;
};
Messages messages_of(const Step& step);

std::vector<std::string> split(std::string_view text, std::string_view separator);

}  // namespace differential
