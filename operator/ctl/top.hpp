// top: the live page in a terminal. Paints until it is told to end; into a pipe or with `once` it prints plain lines.
#pragma once

#include <chrono>
#include <iosfwd>

#include "operator/ctl/commands.hpp"

namespace dbproxy::ctl {

struct TopOptions {
  bool once = false;
  int interval_seconds = 2;
};

// Returns an exit code. `out` has to be standard output where that is a terminal, whose keys are then read.
int top(const Options& options, const TopOptions& how, const Transport& transport, std::ostream& out,
        std::ostream& err);

}  // namespace dbproxy::ctl
