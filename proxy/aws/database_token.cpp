#include "proxy/aws/database_token.hpp"

#include "proxy/aws/sigv4.hpp"

namespace dbproxy::aws {

Secret make_database_token(const std::string& host, std::uint16_t port, const std::string& user,
                           const std::string& region, const Credentials& credentials, WallTime now) {
  SignableRequest request;
  request.query = {{"Action", "connect"}, {"DBUser", user}};
  const std::string where = host + ":" + std::to_string(port);
  request.headers = {{"Host", port == 443 ? host : where}};  // as a client of HTTPS writes it
  return Secret(where + "/?" + sign_query(request, {region, "rds-db"}, credentials, now, kDatabaseTokenSeconds));
}

std::string region_of_host(const std::string& host) {
  for (const std::string_view suffix : {".rds.amazonaws.com", ".rds.amazonaws.com.cn"}) {
    if (!host.ends_with(suffix)) continue;
    const std::string rest = host.substr(0, host.size() - suffix.size());
    const std::size_t dot = rest.rfind('.');
    if (dot == std::string::npos) return {};
    return rest.substr(dot + 1);
  }
  return {};
}

}  // namespace dbproxy::aws
