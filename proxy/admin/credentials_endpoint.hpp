// CredentialsEndpoint: where AWS's SDKs in the application get keys from, as containers do
// (AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE).
//
// It listens on 127.0.0.1 alone, answers GET /credentials to whoever shows the token of the file, which start() makes
// anew, and takes no request that a web page may have made. A server and a thread of its own: an answer waits for AWS.
// (AWS SDKs and Tools Reference Guide, "Container credential provider".)
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "proxy/aws/own_keys.hpp"
#include "proxy/http/server.hpp"
#include "proxy/metrics/registry.hpp"

namespace dbproxy::admin {

struct CredentialsOptions {
  std::uint16_t port = 0;
  std::string token_file;  // written with mode 0444: who may enter its directory may have keys
};

class CredentialsEndpoint {
 public:
  CredentialsEndpoint(CredentialsOptions options, std::shared_ptr<aws::OwnKeys> keys, metrics::Registry& registry);
  ~CredentialsEndpoint();  // stops; the file goes

  std::string start();  // "" or a sentence that says why not
  void stop();

 private:
  http::Response answer(const http::Request& request);

  const CredentialsOptions options_;
  const std::shared_ptr<aws::OwnKeys> keys_;
  Secret token_;
  metrics::Cell& given_;
  metrics::Cell& refused_;
  metrics::Cell& failed_;
  http::Server server_;
  bool started_ = false;
};

}  // namespace dbproxy::admin
