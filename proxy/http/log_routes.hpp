// How much is logged, as routes that sidecar and operator both have:
//   GET /api/v1/log-level                                what is in force
//   POST /api/v1/log-level?level=LEVEL[,MODULE=LEVEL…]   changes it until the process ends: log::parse_levels
#pragma once

#include <boost/json.hpp>
#include <string>
#include <utility>

#include "proxy/base/log.hpp"
#include "proxy/http/json_rows.hpp"
#include "proxy/http/server.hpp"

namespace dbproxy::http {

inline void add_log_routes(Server& server, const std::string& source, const RouteOptions& who_reads,
                           const RouteOptions& who_changes) {
  const auto told = [source](unsigned status) {
    boost::json::object out;
    out["source"] = json_text(source);
    out["level"] = json_text(log::to_text(log::levels()));
    out["modules"] = json_array(log::modules(), json_text);
    Response response;
    response.status = status;
    response.content_type = "application/json";
    response.body = boost::json::serialize(out) + "\n";
    return response;
  };
  server.route(
      "GET", "/api/v1/log-level", [told](const Request&) { return told(200); }, who_reads);
  server.route(
      "POST", "/api/v1/log-level",
      [told](const Request& request) {
        log::Levels levels = log::levels();
        if (std::string wrong = log::parse_levels(request.parameter("level"), levels); !wrong.empty()) {
          Response response;
          response.status = 400;
          response.body = std::move(wrong) + "\n";
          return response;
        }
        log::set_levels(levels);
        log::write(log::Level::kWarn, "admin", "log level changed", {{"level", log::to_text(levels)}});
        return told(202);
      },
      who_changes);
}

}  // namespace dbproxy::http
