#include "proxy/http/router.hpp"

#include <arpa/inet.h>

#include "proxy/base/log.hpp"

namespace dbproxy::http {
namespace {

Response text(unsigned status, std::string body) {
  Response response;
  response.status = status;
  response.body = std::move(body);
  return response;
}

std::string_view bearer_token(const Request& request) {
  constexpr std::string_view kPrefix = "Bearer ";
  std::string_view value = request.header("Authorization");
  if (value.substr(0, kPrefix.size()) != kPrefix) return {};
  return value.substr(kPrefix.size());
}

}  // namespace

bool host_is_direct(std::string_view host) {
  if (!host.empty() && host.front() == '[') {
    host = host.substr(1, host.find(']') == std::string_view::npos ? 0 : host.find(']') - 1);
    in6_addr v6{};
    return inet_pton(AF_INET6, std::string(host).c_str(), &v6) == 1;
  }
  host = host.substr(0, host.find(':'));
  in_addr v4{};
  return host.empty() || host == "localhost" || inet_pton(AF_INET, std::string(host).c_str(), &v4) == 1;
}

void Router::add(std::string method, std::string path, Handler handler, RouteOptions options) {
  routes_[std::move(path)][std::move(method)] = Route{std::move(handler), std::move(options)};
}

std::string Router::allowed(const std::string& path) const {
  std::string out;
  const auto found = routes_.find(path);
  if (found == routes_.end()) return out;
  for (const auto& [method, route] : found->second) {
    out += (out.empty() ? "" : ", ") + method;
    if (method == "GET") out += ", HEAD";
  }
  return out;
}

Response Router::answer(const Request& request, bool trusted_transport, bool loopback) const {
  const auto path = routes_.find(request.path);
  if (path == routes_.end()) return text(404, "there is no such page\n");
  const auto found = path->second.find(request.method == "HEAD" ? "GET" : request.method);
  if (found == path->second.end()) return text(405, "this page takes " + allowed(request.path) + " only\n");
  const Route& route = found->second;
  if (route.options.access == Access::kPrivate && !trusted_transport) {
    if (!loopback) return text(403, "this page is served on the Unix socket and on loopback addresses only\n");
    if (!request.header("Origin").empty() || !host_is_direct(request.header("Host"))) {
      return text(403, "this page is not for web sites: use an IP address or localhost, and no browser\n");
    }
  }
  try {
    if (route.options.authorize && !route.options.authorize(bearer_token(request))) {
      return text(401, "a valid bearer token is needed\n");
    }
    return route.handler(request);
  } catch (const std::exception& error) {
    log::error("http", "handler failed", {{"path", request.path}, {"error", error.what()}});
  } catch (...) {
    log::error("http", "handler failed", {{"path", request.path}});
  }
  return text(500, "internal error: the log says more\n");
}

}  // namespace dbproxy::http
