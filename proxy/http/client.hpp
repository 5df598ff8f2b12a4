// One HTTP request, blocking, with a time limit: what dbproxyctl needs, and what speaks to a cloud's services.
//
// Redirects are not followed. Any thread may ask; nothing is shared between two requests.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/http/address.hpp"
#include "proxy/http/message.hpp"

namespace dbproxy::http {

// TLS 1.2 or later. The server's certificate has to be good and to name the host that was asked.
struct ClientTls {
  bool enabled = false;
  std::string ca_pem;  // trusted instead of the system's authorities; empty: those
};

struct ClientRequest {
  std::string method = "GET";
  std::string path = "/";
  std::string bearer_token;
  std::string body;
  std::chrono::milliseconds timeout{5'000};  // for the whole exchange
  // A Host here takes the place of the one made of the address.
  std::vector<std::pair<std::string, std::string>> headers = {};
  ClientTls tls = {};
  std::uint64_t max_body = 64U * 1024 * 1024;  // of the answer, in bytes
};

struct ClientResponse {
  std::string error;  // empty: there is an answer. Otherwise why there is none, without the address
  Response response;
  std::vector<std::pair<std::string, std::string>> headers = {};  // of the answer

  // The first header with that name (any case), or "".
  std::string_view header(std::string_view name) const;
};

// `unix_path`, where not empty, is used instead of the address.
ClientResponse request(const Address& address, const ClientRequest& what, const std::string& unix_path = {});

}  // namespace dbproxy::http
