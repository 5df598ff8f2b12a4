#include "proxy/aws/sts.hpp"

#include <ctime>
#include <openssl/crypto.h>

#include "proxy/aws/endpoint.hpp"
#include "proxy/aws/readers.hpp"
#include "proxy/aws/service_error.hpp"

namespace dbproxy::aws {
namespace {

std::string form(const Pairs& fields) {
  std::string out;
  for (const auto& [name, value] : fields)
    out += (out.empty() ? "" : "&") + percent_encode(name) + "=" + percent_encode(value);
  return out;
}

struct Where {
  Url url;
  std::string region;
};

Outcome<Where> find_sts(const Environment& environment, const StsOptions& options) {
  std::string region = options.region.empty() ? region_of(environment) : options.region;
  std::string override_url = options.override_url;
  if (region.empty()) {
    region = "us-east-1";
    if (override_url.empty() && environment("AWS_ENDPOINT_URL_STS").empty() && environment("AWS_ENDPOINT_URL").empty())
      override_url = "https://sts.amazonaws.com";
  }
  Outcome<Url> url = endpoint_of(environment, "sts", region, override_url);
  if (!url.ok()) return url.failure;
  return Where{url.value, region};
}

Exchange post(std::string body) {
  Exchange out;
  out.method = "POST";
  out.headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}};
  out.body = std::move(body);
  return out;
}

}  // namespace

Outcome<Credentials> read_sts_credentials(Reply& reply, const std::string& who) {
  Credentials out;
  out.access_key_id = xml_text(reply.body, "AccessKeyId");
  out.secret_access_key = Secret(xml_text(reply.body, "SecretAccessKey"));
  out.session_token = Secret(xml_text(reply.body, "SessionToken"));
  out.expires = parse_time(xml_text(reply.body, "Expiration"));
  OPENSSL_cleanse(reply.body.data(), reply.body.size());
  if (out.access_key_id.empty() || out.secret_access_key.empty() || !out.expires)
    return Failure{Failure::Kind::kMalformed, who + ": the answer holds no credentials", "check who answers there"};
  out.source = who;
  return out;
}

std::string region_of(const Environment& environment) {
  std::string region = environment("AWS_REGION");
  return region.empty() ? environment("AWS_DEFAULT_REGION") : region;
}

std::optional<WallTime> to_time(std::tm parts) {
  constexpr int kFirstYear = 1970, kLastYear = 2200;  // a clock that counts nanoseconds ends in 2262
  if (parts.tm_year + 1900 < kFirstYear || parts.tm_year + 1900 > kLastYear) return std::nullopt;
  return std::chrono::system_clock::from_time_t(timegm(&parts));
}

std::optional<WallTime> parse_time(const std::string& text) {
  std::tm parts{};
  const char* end = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (end == nullptr) return std::nullopt;
  if (*end == '.') {
    ++end;
    while (*end >= '0' && *end <= '9') ++end;
  }
  const std::string zone(end);
  if (zone != "Z" && zone != "+00:00") return std::nullopt;
  return to_time(parts);
}

Outcome<Credentials> assume_role(const Environment& environment, const StsOptions& options, const std::string& role_arn,
                                 const std::string& session_name, const Credentials& credentials, WallTime now) {
  const std::string who = "STS AssumeRole " + role_arn;
  const Outcome<Where> where = find_sts(environment, options);
  if (!where.ok()) return where.failure;
  Outcome<Reply> reply = signed_exchange(environment, where.value.url,
                                         post(form({{"Action", "AssumeRole"},
                                                    {"Version", "2011-06-15"},
                                                    {"RoleArn", role_arn},
                                                    {"RoleSessionName", session_name}})),
                                         {where.value.region, "sts"}, credentials, now, who);
  if (!reply.ok()) return reply.failure;
  if (reply.value.status != 200) {
    Failure failure = service_failure(reply.value, who, "sts:AssumeRole", role_arn);
    if (failure.kind == Failure::Kind::kDenied && failure.remedy.starts_with("allow "))
      failure.remedy += ", and trust the caller in the role's trust policy";
    return failure;
  }
  return read_sts_credentials(reply.value, who);
}

Outcome<Credentials> get_session_token(const Environment& environment, const StsOptions& options,
                                       const Credentials& credentials, WallTime now) {
  const std::string who = "STS GetSessionToken";
  const Outcome<Where> where = find_sts(environment, options);
  if (!where.ok()) return where.failure;
  Outcome<Reply> reply = signed_exchange(
      environment, where.value.url,
      post(form({{"Action", "GetSessionToken"}, {"Version", "2011-06-15"}, {"DurationSeconds", "3600"}})),
      {where.value.region, "sts"}, credentials, now, who);
  if (!reply.ok()) return reply.failure;
  if (reply.value.status != 200)
    return service_failure(reply.value, who, "sts:GetSessionToken", credentials.access_key_id);
  return read_sts_credentials(reply.value, who);
}

Outcome<Credentials> assume_role_with_web_identity(const Environment& environment, const StsOptions& options,
                                                   const std::string& role_arn, const std::string& session_name,
                                                   const Secret& token, const std::string& source) {
  const std::string who = source + " for " + role_arn;
  const Outcome<Where> where = find_sts(environment, options);
  if (!where.ok()) return where.failure;
  Exchange what = post(form({{"Action", "AssumeRoleWithWebIdentity"},
                             {"Version", "2011-06-15"},
                             {"RoleArn", role_arn},
                             {"RoleSessionName", session_name},
                             {"WebIdentityToken", std::string(token.reveal())}}));
  Outcome<Reply> reply = exchange(environment, where.value.url, what, who);
  OPENSSL_cleanse(what.body.data(), what.body.size());
  if (!reply.ok()) return reply.failure;
  if (reply.value.status != 200) {
    Failure failure = service_failure(reply.value, who, "sts:AssumeRoleWithWebIdentity", role_arn);
    if (failure.kind == Failure::Kind::kDenied)
      failure.remedy = "the role's trust policy has to name the service account (dbproxyctl iam-policy prints it)";
    return failure;
  }
  return read_sts_credentials(reply.value, who);
}

}  // namespace dbproxy::aws
