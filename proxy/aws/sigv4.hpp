// Signature Version 4: what proves to AWS who sent a request. Pure functions, safe from any thread.
// (AWS Identity and Access Management User Guide, "Create a signed AWS API request".)
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/aws/credentials.hpp"
#include "proxy/base/clock.hpp"

namespace dbproxy::aws {

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct SignableRequest {
  std::string method = "GET";
  std::string path = "/";  // as it goes over the wire, percent-encoded where it has to be
  Pairs query;             // names and values, not encoded
  Pairs headers;           // all of them are signed; Host has to be among them
  std::string body;
};

struct Scope {
  std::string region;
  std::string service;  // as in the signing name: "secretsmanager", "sts", "rds-db"
};

// The headers to add: X-Amz-Date, X-Amz-Security-Token where there is one, Authorization.
Pairs sign_headers(const SignableRequest& request, const Scope& scope, const Credentials& credentials, WallTime now);

// The query of a presigned URL, encoded, with the signature at its end. Headers other than Host are signed too.
std::string sign_query(const SignableRequest& request, const Scope& scope, const Credentials& credentials, WallTime now,
                       unsigned expires_seconds);

// RFC 3986: everything but letters, digits and "-._~" as %XX.
std::string percent_encode(std::string_view text);
// Seconds in UTC as the signature has them: 20150830T123600Z.
std::string amz_date(WallTime time);
std::string hex(std::string_view bytes);
std::string sha256_hex(std::string_view text);

}  // namespace dbproxy::aws
