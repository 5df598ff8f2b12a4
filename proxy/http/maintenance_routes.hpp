// What people may order by dbproxyctl, as routes that sidecar and operator both have:
//   POST /api/v1/{pause,resume,reconnect}?proxy=NAMESPACE/NAME, with &seconds=N for a pause,
//   and &hand-over=true for one that ends when planned work is over.
#pragma once

#include <charconv>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "proxy/http/json_rows.hpp"
#include "proxy/http/server.hpp"

namespace dbproxy::http {

inline constexpr std::chrono::seconds kPausedFor{300};  // where nothing else is asked for
inline constexpr std::chrono::seconds kLongestPause{3600};

// Each returns false where there is no such DBProxy. Called on the HTTP thread.
struct MaintenanceActions {
  std::function<bool(const std::string& proxy, std::chrono::seconds at_most, bool hand_over)> pause;
  std::function<bool(const std::string&proxy)> resume, reconnect;
  // Not empty: why nothing can be ordered here and now. May be unset.
  std::function<std::string()> refusal;
};

inline void add_maintenance_routes(Server& server, std::string source, const MaintenanceActions& actions,
                                   const RouteOptions& guard) {
  const auto refuse = [](unsigned status, std::string words) {
    Response response;
    response.status = status;
    response.body = std::move(words) + "\n";
    return response;
  };
  const auto route = [&](const char* path, std::function<bool(const std::string&, std::chrono::seconds, bool)> act) {
    const auto handle = [=, refusal = actions.refusal](const Request& request) {
      if (refusal) {
        if (auto words = refusal(); !words.empty()) return refuse(409, std::move(words));
      }
      auto seconds = kPausedFor;
      if (const auto text = request.parameter("seconds"); !text.empty()) {
        long number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        if (error != std::errc() || end != text.data() + text.size() || number < 1 || number > kLongestPause.count())
          return refuse(400, "seconds is a whole number between 1 and " + std::to_string(kLongestPause.count()));
        seconds = std::chrono::seconds(number);
      }
      const auto hand_over = request.parameter("hand-over");
      if (!hand_over.empty() && hand_over != "true" && hand_over != "false")
        return refuse(400, "hand-over is true or false");
      const std::string proxy(request.parameter("proxy"));
      if (!act(proxy, seconds, hand_over == "true"))
        return refuse(404, "there is no DBProxy of that name: proxy=NAMESPACE/NAME");
      boost::json::object done;
      done["source"] = json_text(source);
      done["proxy"] = json_text(proxy);
      Response response;
      response.status = 202;
      response.content_type = "application/json";
      response.body = boost::json::serialize(done) + "\n";
      return response;
    };
    server.route("POST", path, handle, guard);
  };
  route("/api/v1/pause", actions.pause);
  route("/api/v1/resume",
        [resume = actions.resume](const std::string& proxy, std::chrono::seconds, bool) { return resume(proxy); });
  route("/api/v1/reconnect", [reconnect = actions.reconnect](const std::string& proxy, std::chrono::seconds, bool) {
    return reconnect(proxy);
  });
}

// `source` has pause, resume and reconnect.
template <class From>
MaintenanceActions maintenance_of(From& source) {
  MaintenanceActions actions;
  actions.pause = [&source](const std::string& proxy, std::chrono::seconds at_most, bool hand_over) {
    return source.pause(proxy, at_most, hand_over);
  };
  actions.resume = [&source](const std::string& proxy) { return source.resume(proxy); };
  actions.reconnect = [&source](const std::string& proxy) { return source.reconnect(proxy); };
  return actions;
}

}  // namespace dbproxy::http
