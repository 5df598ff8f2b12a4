// mysql-probe HOST PORT USER MODE [CA-FILE]: backend::mysql::probe from the command line, for tests. The password is
// read from standard input.
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "proxy/backend/mysql_probe.hpp"

int main(int count, char** arguments) {
  using namespace dbproxy;
  if (count < 5) return 2;
  std::signal(SIGPIPE, SIG_IGN);
  config::ServerTls tls;
  tls.mode = config::parse_tls_mode(arguments[4]).value_or(config::TlsMode::kVerifyFull);
  if (count > 5) {
    std::ifstream file(arguments[5]);
    tls.ca_pem.assign(std::istreambuf_iterator<char>(file), {});
  }
  std::string password;
  std::getline(std::cin, password);
  const backend::mysql::Outcome seen =
      backend::mysql::probe(arguments[1], static_cast<std::uint16_t>(std::atoi(arguments[2])), tls, arguments[3],
                            Secret(password), std::chrono::seconds(20));
  std::cout << "ok=" << seen.base.ok << "\nreason=" << config::to_string(seen.base.reason)
            << "\ndetail=" << seen.base.detail << "\nsqlstate=" << seen.base.sqlstate
            << "\nread_only=" << seen.base.in_recovery << "\nmax_connections=" << seen.base.max_connections
            << "\nlag=" << seen.base.lag_seconds << "\nversion=" << seen.base.server_version
            << "\nplugin=" << seen.greeting.auth_plugin << "\n";
  for (const auto& each : seen.base.members) {
    std::cout << "member " << each.id << "=" << each.writer << " " << each.age_seconds << " " << each.lag_seconds
              << "\n";
  }
  return 0;
}
