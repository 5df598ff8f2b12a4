// import: the manifests that stand for another proxy's configuration, and what is left to do, on the other stream.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

namespace dbproxy::ctl {

struct ImportOptions {
  std::string from;                // "rds-proxy", "pgbouncer"
  std::vector<std::string> files;  // "-": the input
  std::string name_space = "default";
};

// Prints manifests to `out`, what is left to do and errors to `errors`; returns an exit code.
int import(const ImportOptions& options, std::istream& in, std::ostream& out, std::ostream& errors);

}  // namespace dbproxy::ctl
