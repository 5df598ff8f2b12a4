#include "proxy/live/live.hpp"

namespace dbproxy::live {
namespace {

constexpr std::string_view kAskAgain = "retry: 2000\n";  // milliseconds

}  // namespace

http::Response page() {
  http::Response response;
  response.content_type = "text/html; charset=utf-8";
  response.body = kPage;
  return response;
}

http::Response event(const Parts& parts) {
  http::Response response;
  response.content_type = "text/event-stream";
  response.body = kAskAgain;
  response.body += "data: {";
  for (const auto& [name, json] : parts) {
    if (response.body.back() != '{') response.body += ',';
    response.body += '"' + name + "\":";
    // A line break would end the event's line; in JSON it is only white space.
    for (const char c : json) {
      if (c != '\n' && c != '\r') response.body += c;
    }
  }
  response.body += "}\n\n";
  return response;
}

}  // namespace dbproxy::live
