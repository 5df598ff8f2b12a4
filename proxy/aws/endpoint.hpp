// Where a service of AWS is asked, and one exchange with it.
//
// TLS is verified against the system's authorities, or those of AWS_CA_BUNDLE. Redirects are not followed. Blocks for
// at most the time-out, apart from looking up the name; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/aws/environment.hpp"
#include "proxy/aws/failure.hpp"
#include "proxy/aws/sigv4.hpp"
#include "proxy/http/client.hpp"

namespace dbproxy::aws {

struct Url {
  bool tls = true;
  std::string host;  // without brackets
  std::uint16_t port = 443;
  std::string path = "/";
  std::string host_header() const;  // with brackets and, unless it is the scheme's own, the port
};

// http or https, a host, and no user, query or fragment. The failure names the URL.
Outcome<Url> parse_url(std::string_view text);

// 127.0.0.0/8, ::1 and localhost.
bool is_loopback(std::string_view host);

// True for names below AWS's own domains, VPC endpoints among them: where credentials may be sent whoever asks for it.
bool is_aws_host(std::string_view host);

// The URL of a service, by its name in endpoint_overrides ("secretsmanager", "sts", "rds"): `override_url` where it is
// not empty, else AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, else AWS's own for the region. Clear text is taken on
// loopback only.
Outcome<Url> endpoint_of(const Environment& environment, const std::string& service, const std::string& region,
                         const std::string& override_url);

struct Reply {
  unsigned status = 0;
  std::string body;        // may hold secrets: wipe it
  std::string error_type;  // of the header x-amzn-errortype
};

struct Exchange {
  std::string method = "GET";
  Pairs headers;
  std::string body;
  std::chrono::milliseconds timeout{5000};
};

// `who` begins the failure's words.
Outcome<Reply> exchange(const Environment& environment, const Url& url, const Exchange& what, const std::string& who);
// The same, signed.
Outcome<Reply> signed_exchange(const Environment& environment, const Url& url, Exchange what, const Scope& scope,
                               const Credentials& credentials, WallTime now, const std::string& who);

}  // namespace dbproxy::aws
