// AWS Secrets Manager: one secret, read once. Blocking; any thread.
#pragma once

#include <string>

#include "proxy/aws/credentials.hpp"
#include "proxy/aws/environment.hpp"
#include "proxy/aws/failure.hpp"

namespace dbproxy::aws {

// A database user and its password, as RDS Proxy takes them from a secret: JSON with username and password; other
// fields are ignored.
struct SecretValue {
  std::string version_id;
  std::string username;
  Secret password;
  bool operator==(const SecretValue&) const = default;
};

struct Arn {
  std::string partition, service, region, account, resource;
};
// arn:partition:service:region:account:resource; "" everywhere for anything else.
Arn parse_arn(const std::string& text);

inline constexpr const char* kCurrent = "AWSCURRENT";
inline constexpr const char* kPrevious = "AWSPREVIOUS";

Outcome<SecretValue> get_secret_value(const Environment& environment, const std::string& arn, const std::string& stage,
                                      const std::string& override_url, const Credentials& credentials, WallTime now);

// What is in a secret; `name` begins a failure's words. Pure.
Outcome<SecretValue> read_secret_text(std::string_view text, const std::string& name);

}  // namespace dbproxy::aws
