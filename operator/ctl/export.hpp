// export: DBProxies as `aws rds describe-db-proxies` and its like would print them, for what reads those.
#pragma once

#include <iosfwd>
#include <string>

#include "operator/kubernetes/client.hpp"

namespace dbproxy::ctl {

struct ExportOptions {
  std::string manifests;   // a directory; empty: they are taken from the API server
  std::string name;        // of a DBProxy, with or without its namespace; empty: all
  std::string name_space;  // only those; empty: all
  std::string shape;       // "describe-db-proxies", … for that alone; empty: one object with all four lists
};

// Whether it is one of the four commands, or "".
bool is_shape(const std::string& shape);

// JSON to `out`, what has no equal there and errors to `err`; returns an exit code. Without a directory `client` is
// needed. Secrets are not asked for.
int export_rds_proxy(const ExportOptions& options, kubernetes::Client* client, std::ostream& out, std::ostream& err);

}  // namespace dbproxy::ctl
