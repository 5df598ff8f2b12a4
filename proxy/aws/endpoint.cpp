#include "proxy/aws/endpoint.hpp"

#include <algorithm>
#include <charconv>

namespace dbproxy::aws {
namespace {

constexpr std::size_t kMaxAnswer = 512 * 1024;  // a secret is at most 64 KB
constexpr std::size_t kMaxCaBundle = 4 * 1024 * 1024;

std::string suffix_of_region(const std::string& region) {
  if (region.starts_with("cn-")) return ".amazonaws.com.cn";
  if (region.starts_with("us-iso-")) return ".c2s.ic.gov";
  if (region.starts_with("us-isob-")) return ".sc2s.sgov.gov";
  return ".amazonaws.com";
}

std::string variable_of_service(const std::string& service) {
  if (service == "secretsmanager") return "AWS_ENDPOINT_URL_SECRETS_MANAGER";
  return service == "rds" ? "AWS_ENDPOINT_URL_RDS" : "AWS_ENDPOINT_URL_STS";
}

bool plain_host(std::string_view host) {
  return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_' || c == ':';
  });
}

}  // namespace

std::string Url::host_header() const {
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return port == (tls ? 443 : 80) ? name : name + ":" + std::to_string(port);
}

Outcome<Url> parse_url(std::string_view text) {
  const auto wrong = [&](const std::string& why) {
    return Failure{Failure::Kind::kMalformed, "\"" + std::string(text.substr(0, 200)) + "\" " + why,
                   "write https://HOST[:PORT][/PATH]"};
  };
  Url out;
  std::string_view rest = text;
  if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
    out.tls = false;
    out.port = 80;
  } else {
    return wrong("is not a URL of http or https");
  }
  if (rest.find_first_of("@?#\\ \r\n\t") != std::string_view::npos) return wrong("holds more than host, port and path");
  const std::size_t slash = rest.find('/');
  if (slash != std::string_view::npos) {
    out.path = rest.substr(slash);
    rest = rest.substr(0, slash);
  }
  std::string_view port;
  if (rest.starts_with('[')) {
    const std::size_t end = rest.find(']');
    if (end == std::string_view::npos) return wrong("has no host");
    out.host = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
    if (!rest.empty() && rest.front() != ':') return wrong("has no host");
    if (!rest.empty()) port = rest.substr(1);
    if (!rest.empty() && port.empty()) return wrong("has no port");
  } else {
    const std::size_t colon = rest.find(':');
    out.host = rest.substr(0, colon);
    if (out.host.find(':') != std::string::npos) return wrong("has no host");
    if (colon != std::string_view::npos) {
      port = rest.substr(colon + 1);
      if (port.empty()) return wrong("has no port");
    }
  }
  if (!plain_host(out.host)) return wrong("has no host");
  if (!port.empty()) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
    if (error != std::errc() || end != port.data() + port.size() || out.port == 0) return wrong("has no port");
  }
  return out;
}

bool is_loopback(std::string_view host) {
  return host == "localhost" || host == "::1" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

bool is_aws_host(std::string_view host) {
  for (const std::string_view domain :
       {".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".c2s.ic.gov", ".sc2s.sgov.gov"}) {
    if (host.size() > domain.size() && host.ends_with(domain)) return true;
  }
  return false;
}

Outcome<Url> endpoint_of(const Environment& environment, const std::string& service, const std::string& region,
                         const std::string& override_url) {
  std::string text = override_url;
  std::string from = "aws.endpointOverrides." + service;
  for (const std::string& variable : {variable_of_service(service), std::string("AWS_ENDPOINT_URL")}) {
    if (!text.empty()) break;
    text = environment(variable);
    from = variable;
  }
  if (text.empty()) {
    if (region.empty()) {
      return Failure{Failure::Kind::kNotConfigured, "no region is known for " + service,
                     "set spec.aws.region or AWS_REGION"};
    }
    text = "https://" + service + "." + region + suffix_of_region(region);
    from = "the region";
  }
  Outcome<Url> url = parse_url(text);
  if (!url.ok()) {
    url.failure.what = from + ": " + url.failure.what;
    return url;
  }
  if (!url.value.tls && !is_loopback(url.value.host)) {
    return Failure{Failure::Kind::kMalformed, from + ": \"" + text.substr(0, 200) + "\" is not https",
                   "secrets travel over TLS only"};
  }
  return url;
}

Outcome<Reply> exchange(const Environment& environment, const Url& url, const Exchange& what, const std::string& who) {
  http::ClientRequest request;
  request.method = what.method;
  request.path = url.path;
  request.headers = what.headers;
  request.headers.emplace_back("Host", url.host_header());
  request.headers.emplace_back("User-Agent", "dbproxy");
  request.body = what.body;
  request.timeout = what.timeout;
  request.max_body = kMaxAnswer;
  request.tls.enabled = url.tls;
  if (const std::string bundle = environment("AWS_CA_BUNDLE"); url.tls && !bundle.empty()) {
    Outcome<std::string> pem = read_file(bundle, kMaxCaBundle);
    if (!pem.ok()) return Failure{pem.failure.kind, "AWS_CA_BUNDLE: " + pem.failure.what, pem.failure.remedy};
    request.tls.ca_pem = std::move(pem.value);
  }
  http::ClientResponse answer = http::request({url.host, url.port}, request);
  if (!answer.error.empty()) {
    return Failure{Failure::Kind::kUnreachable, who + ": no answer from " + url.host_header() + ": " + answer.error,
                   "check that the network lets it through"};
  }
  Reply out;
  out.status = answer.response.status;
  out.error_type = answer.header("x-amzn-errortype");
  out.body = std::move(answer.response.body);
  return out;
}

Outcome<Reply> signed_exchange(const Environment& environment, const Url& url, Exchange what, const Scope& scope,
                               const Credentials& credentials, WallTime now, const std::string& who) {
  SignableRequest request;
  request.method = what.method;
  request.path = url.path;
  request.headers = what.headers;
  request.headers.emplace_back("Host", url.host_header());
  request.body = what.body;
  for (auto& header : sign_headers(request, scope, credentials, now)) what.headers.push_back(std::move(header));
  return exchange(environment, url, what, who);
}

}  // namespace dbproxy::aws
