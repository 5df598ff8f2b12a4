// preflight: from the place where it runs, each database of each DBProxy: name, connection, TLS and log-in, role.
#pragma once

#include <chrono>
#include <iosfwd>
#include <string>

#include "operator/kubernetes/client.hpp"

namespace dbproxy::ctl {

struct PreflightOptions {
  std::string manifests;   // a directory, or - for the input; empty: they are taken from the API server
  std::string name;        // of a DBProxy, with or without its namespace; empty: all
  std::string name_space;  // only those; empty: all
  std::chrono::milliseconds timeout{5000};
  std::string rds_ca;  // a file with the CAs that the installation has for DBProxies without caRef; empty: none
  bool print = false;  // what the API server has of it, as manifests for the input of another; nothing is tried
};

// One line for each step, and what to do where one fails. Returns an exit code. Without a directory `client` is needed,
// and the name of one DBProxy.
int preflight(const PreflightOptions& options, kubernetes::Client* client, std::istream& in, std::ostream& out,
              std::ostream& err);

// The DBProxy and what it refers to, as manifests; `error` where one of them cannot be had, and "" without the DBProxy.
std::string fetch(kubernetes::Client& client, const std::string& name_space, const std::string& name,
                  const std::string& installation_ca, std::string& error);

}  // namespace dbproxy::ctl
