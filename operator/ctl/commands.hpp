// Commands of dbproxyctl: choose a server, ask it, print. Output and transport are passed in, so that tests own them.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "proxy/http/address.hpp"
#include "proxy/http/client.hpp"

namespace dbproxy::ctl {

enum ExitCode { kOk = 0, kRefused = 1, kUsage = 2, kUnreachable = 3 };

enum class Output { kTable, kWide, kJson, kYaml };

// One place to ask.
struct Server {
  std::string what;  // "the operator", "a sidecar", "the server"
  http::Address address;
  std::string unix_path;  // instead of the address
};

using Transport = std::function<http::ClientResponse(const Server&, const http::ClientRequest&)>;

struct Options {
  std::string command;     // get | describe | targets | sidecars | pools | pins | pause | resume | reconnect
  std::string name;        // of a DBProxy: name or namespace/name; empty: all
  std::string name_space;  // only those; empty: all
  Output output = Output::kTable;
  bool headers = true;
  int pause_seconds = 300;
  bool hand_over = false;       // the pause ends when planned work is over
  std::string log_level;        // to be put in force; empty: only told
  std::vector<Server> servers;  // asked in this order until one answers; see choose_servers
  std::string bearer_token;
};

// What was given on the command line and in DBPROXYCTL_SERVER; the defaults otherwise. Returns "" or what is wrong.
struct Where {
  std::string operator_address, sidecar_address, socket, environment;
};
std::string choose_servers(const Where& where, const std::string& command, std::vector<Server>& servers);

int run(const Options& options, const Transport& transport, std::ostream& out, std::ostream& err);

}  // namespace dbproxy::ctl
