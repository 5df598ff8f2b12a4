#include "proxy/aws/credential_chain.hpp"

#include <boost/json.hpp>
#include <map>
#include <openssl/crypto.h>
#include <optional>
#include <sstream>

#include "proxy/aws/endpoint.hpp"
#include "proxy/aws/readers.hpp"
#include "proxy/aws/service_error.hpp"

namespace dbproxy::aws {
namespace {

namespace json = boost::json;
using Kind = Failure::Kind;

constexpr std::size_t kMaxTokenFile = 16 * 1024;
constexpr std::size_t kMaxCredentialsFile = 256 * 1024;
constexpr std::chrono::milliseconds kMetadataTimeout{1000};
constexpr const char* kContainerHost = "169.254.170.2";  // of ECS's agent

using Found = std::optional<Outcome<Credentials>>;  // none: not configured

std::string trim(const std::string& text) {
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  return start == std::string::npos ? "" : text.substr(start, text.find_last_not_of(" \t\r\n") - start + 1);
}

Found from_environment(const Environment& environment) {
  const std::string id = environment("AWS_ACCESS_KEY_ID");
  const std::string secret = environment("AWS_SECRET_ACCESS_KEY");
  if (id.empty() && secret.empty()) return std::nullopt;
  if (id.empty() || secret.empty()) {
    return Failure{Kind::kMalformed,
                   std::string("environment: ") + (id.empty() ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY") +
                       " is not set, and the other half is",
                   "set both or neither"};
  }
  Credentials out;
  out.access_key_id = id;
  out.secret_access_key = Secret(secret);
  out.session_token = Secret(environment("AWS_SESSION_TOKEN"));
  out.source = "environment";
  return out;
}

Found from_web_identity(const Environment& environment, const StsOptions& sts) {
  const std::string path = environment("AWS_WEB_IDENTITY_TOKEN_FILE");
  const std::string role = environment("AWS_ROLE_ARN");
  if (path.empty()) return std::nullopt;
  if (role.empty()) {
    return Failure{Kind::kMalformed, "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not",
                   "annotate the service account with eks.amazonaws.com/role-arn and start the pod again"};
  }
  Outcome<std::string> token = read_file(path, kMaxTokenFile);
  if (!token.ok()) return Failure{token.failure.kind, "web identity: " + token.failure.what, token.failure.remedy};
  std::string session = environment("AWS_ROLE_SESSION_NAME");
  if (session.empty()) session = "dbproxy";
  Outcome<Credentials> out =
      assume_role_with_web_identity(environment, sts, role, session, Secret(trim(token.value)), "web identity");
  OPENSSL_cleanse(token.value.data(), token.value.size());
  return out;
}

// [profile] lines with name = value; # and ; begin comments.
std::map<std::string, std::string> section(const std::string& text, const std::string& profile, bool& found) {
  std::map<std::string, std::string> out;
  std::istringstream lines(text);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    line = trim(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line.front() == '[' && line.back() == ']') {
      inside = trim(line.substr(1, line.size() - 2)) == profile;
      found |= inside;
      continue;
    }
    const std::size_t equals = line.find('=');
    if (inside && equals != std::string::npos) out[trim(line.substr(0, equals))] = trim(line.substr(equals + 1));
  }
  return out;
}

Found from_file(const Environment& environment) {
  std::string path = environment("AWS_SHARED_CREDENTIALS_FILE");
  const bool named = !path.empty() || !environment("AWS_PROFILE").empty();
  if (path.empty()) {
    const std::string home = environment("HOME");
    if (home.empty()) return std::nullopt;
    path = home + "/.aws/credentials";
  }
  std::string profile = environment("AWS_PROFILE");
  if (profile.empty()) profile = "default";
  Outcome<std::string> text = read_file(path, kMaxCredentialsFile);
  if (!text.ok()) {
    if (!named) return std::nullopt;
    return Failure{text.failure.kind, "credentials file: " + text.failure.what, text.failure.remedy};
  }
  bool found = false;
  Credentials out = read_profile(text.value, profile, found);
  OPENSSL_cleanse(text.value.data(), text.value.size());
  if (!found && !named) return std::nullopt;
  out.source = "credentials file " + path;
  if (out.access_key_id.empty() || out.secret_access_key.empty()) {
    return Failure{Kind::kMalformed, out.source + " has no keys in profile " + profile,
                   "it needs aws_access_key_id and aws_secret_access_key"};
  }
  return out;
}

// Where a token of the container may be sent: its own agents, or anybody who proves who he is.
bool container_host(const Url& url) {
  return url.tls || is_loopback(url.host) || url.host == kContainerHost || url.host == "169.254.170.23" ||
         url.host == "fd00:ec2::23";
}

Found from_container(const Environment& environment) {
  const std::string who = "container credentials";
  const std::string relative = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  const std::string full = environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (relative.empty() && full.empty()) return std::nullopt;
  Outcome<Url> url = parse_url(relative.empty() ? full : std::string("http://") + kContainerHost + relative);
  if (!url.ok()) return Failure{url.failure.kind, who + ": " + url.failure.what, url.failure.remedy};
  if (!container_host(url.value)) {
    return Failure{Kind::kMalformed,
                   who + ": AWS_CONTAINER_CREDENTIALS_FULL_URI names " + url.value.host +
                       ", which is neither this machine, nor the agent of ECS or EKS, nor https",
                   "check who set it"};
  }
  Exchange what;
  if (const std::string path = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); !path.empty()) {
    Outcome<std::string> token = read_file(path, kMaxTokenFile);  // each time anew: it is rotated
    if (!token.ok()) return Failure{token.failure.kind, who + ": " + token.failure.what, token.failure.remedy};
    what.headers = {{"Authorization", trim(token.value)}};
  } else if (const std::string token = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN"); !token.empty()) {
    what.headers = {{"Authorization", token}};
  }
  if (!what.headers.empty() && what.headers[0].second.find_first_of("\r\n") != std::string::npos)
    return Failure{Kind::kMalformed, who + ": the authorization token holds a line break", "check the token's file"};
  Outcome<Reply> reply = exchange(environment, url.value, what, who);
  if (!reply.ok()) return reply.failure;
  if (reply.value.status != 200) {
    Failure failure = service_failure(reply.value, who, "eks-auth:AssumeRoleForPodIdentity", "the association");
    if (failure.kind == Kind::kDenied || failure.kind == Kind::kNotFound || failure.kind == Kind::kRefused)
      failure.remedy = "check the Pod Identity association of the service account";
    return failure;
  }
  return read_json_credentials(reply.value, who);
}

Found from_instance(const Environment& environment) {
  const std::string who = "instance metadata";
  if (environment("AWS_EC2_METADATA_DISABLED") == "true") return std::nullopt;
  std::string base = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  if (base.empty()) base = "http://169.254.169.254";
  while (base.ends_with('/')) base.pop_back();
  const auto ask = [&](const std::string& method, const std::string& path, Pairs headers) -> Outcome<Reply> {
    Outcome<Url> url = parse_url(base + path);
    if (!url.ok()) return url.failure;
    Exchange what;
    what.method = method;
    what.headers = std::move(headers);
    what.timeout = kMetadataTimeout;
    return exchange(environment, url.value, what, who);
  };
  Outcome<Reply> token = ask("PUT", "/latest/api/token", {{"X-aws-ec2-metadata-token-ttl-seconds", "21600"}});
  if (!token.ok()) return token.failure.kind == Kind::kUnreachable ? Found() : Found(token.failure);
  if (token.value.status != 200 || token.value.body.find_first_of("\r\n") != std::string::npos) {
    return Failure{Kind::kRefused, who + ": no session token, status " + std::to_string(token.value.status),
                   "a pod needs an instance with a hop limit of 2, or better an identity of its own"};
  }
  const Pairs proof{{"X-aws-ec2-metadata-token", token.value.body}};
  const std::string path = "/latest/meta-data/iam/security-credentials/";
  Outcome<Reply> role = ask("GET", path, proof);
  if (!role.ok()) return role.failure;
  const std::string name = trim(role.value.body.substr(0, role.value.body.find('\n')));
  if (role.value.status != 200 || name.empty() || name.size() > 64) {
    return Failure{Kind::kNotFound, who + ": the instance has no role, status " + std::to_string(role.value.status),
                   "give the instance a profile, or the pod an identity of its own"};
  }
  Outcome<Reply> keys = ask("GET", path + percent_encode(name), proof);
  if (!keys.ok()) return keys.failure;
  if (keys.value.status != 200) {
    return Failure{Kind::kRefused, who + ": no credentials of the role, status " + std::to_string(keys.value.status),
                   "check the instance's profile"};
  }
  return read_json_credentials(keys.value, who);
}

}  // namespace

Outcome<Credentials> read_json_credentials(Reply& reply, const std::string& who) {
  json::error_code error;
  const json::value document = json::parse(reply.body, error);
  OPENSSL_cleanse(reply.body.data(), reply.body.size());
  Credentials out;
  if (!error && document.is_object()) {
    const auto text = [&](const char* key) {
      const json::value* value = document.get_object().if_contains(key);
      return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
    };
    out.access_key_id = text("AccessKeyId");
    out.secret_access_key = Secret(text("SecretAccessKey"));
    out.session_token = Secret(text("Token"));
    out.expires = parse_time(text("Expiration"));
  }
  if (out.access_key_id.empty() || out.secret_access_key.empty())
    return Failure{Kind::kMalformed, who + ": the answer holds no credentials", "check who answers there"};
  out.source = who;
  return out;
}

Credentials read_profile(const std::string& text, const std::string& profile, bool& found) {
  auto values = section(text, profile, found);
  Credentials out;
  out.access_key_id = values["aws_access_key_id"];
  out.secret_access_key = Secret(values["aws_secret_access_key"]);
  out.session_token = Secret(values["aws_session_token"]);
  for (auto& [name, value] : values) OPENSSL_cleanse(value.data(), value.size());
  return out;
}

Outcome<Credentials> find_credentials(const Environment& environment, const StsOptions& sts) {
  if (Found found = from_environment(environment)) return *found;
  if (Found found = from_web_identity(environment, sts)) return *found;
  if (Found found = from_file(environment)) return *found;
  if (Found found = from_container(environment)) return *found;
  if (Found found = from_instance(environment)) return *found;
  return Failure{Kind::kNotConfigured,
                 "no AWS credentials: none in the environment, no web identity, no credentials file, no container "
                 "credentials, and the instance's metadata service does not answer",
                 "give the service account a role (IRSA or EKS Pod Identity), or set AWS_ACCESS_KEY_ID and "
                 "AWS_SECRET_ACCESS_KEY"};
}

}  // namespace dbproxy::aws
