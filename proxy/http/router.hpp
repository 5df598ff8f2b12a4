// Router: (method, path) → handler, with access rules. Pure: no sockets. Not thread-safe while routes are added.
#pragma once

#include <map>
#include <string>

#include "proxy/http/message.hpp"
#include "proxy/http/server.hpp"

namespace dbproxy::http {

class Router {
 public:
  void add(std::string method, std::string path, Handler handler, RouteOptions options);
  // `trusted_transport`: came by the Unix socket. `loopback`: by TCP to a loopback address. Throws nothing.
  Response answer(const Request& request, bool trusted_transport, bool loopback) const;
  // The value of `Allow` for a path whose methods do not include the one asked for; "" if there is no such path.
  std::string allowed(const std::string& path) const;

 private:
  struct Route {
    Handler handler;
    RouteOptions options;
  };
  std::map<std::string, std::map<std::string, Route>> routes_;  // path → method
};

// True for "localhost", IP addresses, and "": names that only someone on this machine uses by intent.
bool host_is_direct(std::string_view host);

}  // namespace dbproxy::http
