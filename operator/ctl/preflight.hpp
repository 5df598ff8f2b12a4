// preflight: from the place where it runs, each database of each DBProxy: name, connection, TLS and log-in, role.
#pragma once

#include <chrono>
#include <iosfwd>
#include <string>

namespace dbproxy::ctl {

struct PreflightOptions {
  std::string manifests;   // a directory
  std::string name;        // of a DBProxy, with or without its namespace; empty: all
  std::string name_space;  // only those; empty: all
  std::chrono::milliseconds timeout{5000};
};

// One line for each step, and what to do where one fails. Returns an exit code.
int preflight(const PreflightOptions& options, std::ostream& out, std::ostream& err);

}  // namespace dbproxy::ctl
