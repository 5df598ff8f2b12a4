// Requests and responses as handlers see them: plain data, complete bodies.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dbproxy::http {

struct Request {
  std::string method;  // upper case
  std::string target;  // as sent
  std::string path;    // the target up to '?', not percent-decoded
  std::string query;   // after '?'
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;

  // The first header with that name (any case), or "".
  std::string_view header(std::string_view name) const;
  // The value of name=value in the query, not percent-decoded, or "".
  std::string_view parameter(std::string_view name) const;
};

struct Response {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

using Handler = std::function<Response(const Request&)>;

}  // namespace dbproxy::http
