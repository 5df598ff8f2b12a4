// One HTTP request, blocking, with a time limit: what dbproxyctl needs.
#pragma once

#include <chrono>
#include <string>

#include "proxy/http/address.hpp"
#include "proxy/http/message.hpp"

namespace dbproxy::http {

struct ClientRequest {
  std::string method = "GET";
  std::string path = "/";
  std::string bearer_token;
  std::string body;
  std::chrono::milliseconds timeout{5'000};  // for the whole exchange
};

struct ClientResponse {
  std::string error;  // empty: there is an answer. Otherwise why there is none, without the address
  Response response;
};

// `unix_path`, where not empty, is used instead of the address.
ClientResponse request(const Address& address, const ClientRequest& what, const std::string& unix_path = {});

}  // namespace dbproxy::http
