// How the channel to the operator is made. Internal to control.
#pragma once

#include <grpcpp/channel.h>
#include <memory>
#include <string>

#include "proxy/base/result.hpp"
#include "proxy/base/secret.hpp"

namespace dbproxy::control {

// TLS against these roots, keepalive 5 s / 3 s, no sharing with channels before it, no proxies from the environment.
// With `verified_name` the certificate must be good for that name rather than for the address (after a redirect).
std::shared_ptr<grpc::Channel> make_channel(const std::string& address, const std::string& ca_pem,
                                            const std::string& verified_name);

// The first line of the file, at most 64 KB.
Result<Secret> read_token(const std::string& path);

// "db.example:9931" → "db.example", "[::1]:9931" → "::1".
std::string host_of(const std::string& address);

}  // namespace dbproxy::control
