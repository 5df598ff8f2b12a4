// The Security Token Service: credentials for a role. Blocking; any thread.
#pragma once

#include <ctime>
#include <optional>
#include <string>

#include "proxy/aws/credentials.hpp"
#include "proxy/aws/environment.hpp"
#include "proxy/aws/failure.hpp"

namespace dbproxy::aws {

struct StsOptions {
  std::string region;        // empty: AWS_REGION, AWS_DEFAULT_REGION, else the global endpoint
  std::string override_url;  // aws.endpointOverrides.sts
};

Outcome<Credentials> assume_role(const Environment& environment, const StsOptions& options, const std::string& role_arn,
                                 const std::string& session_name, const Credentials& credentials, WallTime now);

Outcome<Credentials> assume_role_with_web_identity(const Environment& environment, const StsOptions& options,
                                                   const std::string& role_arn, const std::string& session_name,
                                                   const Secret& token, const std::string& source);

// Temporary keys of whoever has lasting ones, good for an hour.
Outcome<Credentials> get_session_token(const Environment& environment, const StsOptions& options,
                                       const Credentials& credentials, WallTime now);

// UTC; nullopt for years that no credentials are of, which a clock could not count.
std::optional<WallTime> to_time(std::tm parts);
// 2026-11-25T19:11:55Z, with or without a fraction; nullopt for anything else.
std::optional<WallTime> parse_time(const std::string& text);
std::string region_of(const Environment& environment);

}  // namespace dbproxy::aws
