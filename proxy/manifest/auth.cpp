// DBProxy: spec.auth, one entry per database user.
#include <algorithm>

#include "proxy/manifest/parsers.hpp"

namespace dbproxy::manifest {
namespace {

using config::EngineFamily;
using config::PasswordAuthType;

constexpr std::size_t kMaxAuthEntries = 200;  // as in RDS Proxy

// arn:partition:service:region:account:secret:name, as AWS writes them.
std::string check_secret_arn(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t start = 0; parts.size() < 6;) {
    std::size_t colon = text.find(':', start);
    if (colon == std::string_view::npos) break;
    parts.push_back(text.substr(start, colon - start));
    start = colon + 1;
  }
  bool good = parts.size() == 6 && parts[0] == "arn" && !parts[1].empty() && parts[2] == "secretsmanager" &&
              !parts[3].empty() && parts[4].size() == 12 && parts[5] == "secret" &&
              std::all_of(parts[4].begin(), parts[4].end(), [](char c) { return c >= '0' && c <= '9'; });
  return good ? "" : "is not the ARN of a Secrets Manager secret";
}

std::vector<std::string_view> auth_types(std::optional<EngineFamily> engine) {
  if (engine == EngineFamily::kPostgresql) return {"POSTGRES_SCRAM_SHA_256", "POSTGRES_MD5"};
  if (engine == EngineFamily::kMysql) return {"MYSQL_CACHING_SHA2_PASSWORD", "MYSQL_NATIVE_PASSWORD"};
  return {"POSTGRES_SCRAM_SHA_256", "POSTGRES_MD5", "MYSQL_CACHING_SHA2_PASSWORD", "MYSQL_NATIVE_PASSWORD"};
}

void parse_secret_ref(Fields& entry, AuthEntry& out) {
  auto ref = entry.map("secretRef");
  if (!ref) return;
  ref->require("name", "write the name of a Secret in the same namespace");
  out.secret_ref = ref->text("name", {253, check_dns_subdomain}).value_or("");
  if (ref->has("namespace")) {
    ref->ignore("namespace");
    ref->error("namespace", "", "is not allowed: references never leave the namespace",
               "remove it, and keep the Secret in the namespace of the DBProxy");
  }
  ref->finish();
}

void check_credentials(Fields& entry, const AuthEntry& out, bool pod_identity) {
  bool ref = entry.has("secretRef");
  bool arn = entry.has("secretArn");
  if (out.auth_scheme == AuthScheme::kIam) {
    if (ref || arn) {
      entry.error(ref ? "secretRef" : "secretArn", "", "is not used with authScheme: IAM", "remove it");
    }
    if (!entry.has("userName")) {
      entry.error("userName", "", "is missing: without a secret nothing else names the database user");
    }
    if (!pod_identity && out.iam_auth == config::IamAuth::kDisabled) {
      entry.error("authScheme", "\"IAM\"", "leaves clients without a password to show",
                  "use it with clientAuth: PodIdentity, or with iamAuth: REQUIRED");
    }
    return;
  }
  if (ref && arn) {
    entry.error("secretArn", "", "is set beside secretRef", "keep exactly one of the two");
  } else if (!ref && !arn) {
    entry.error("secretRef", "", "is missing: authScheme SECRETS takes user and password from a secret",
                "name a Secret with the keys username and password");
  }
}

}  // namespace

void parse_auth(Fields& spec, std::optional<EngineFamily> engine, DBProxyResource& out) {
  spec.require("auth", "list at least one entry with a secretRef");
  std::vector<Fields> entries = spec.maps("auth", kMaxAuthEntries);
  if (spec.is_empty_list("auth")) {
    spec.error("auth", "", "is empty", "list at least one entry with a secretRef");
  }
  for (Fields& entry : entries) {
    AuthEntry auth;
    auth.description = entry.text("description", {256, check_printable, "", false, true}).value_or("");
    bool iam = entry.choice("authScheme", {"SECRETS", "IAM"}).value_or("SECRETS") == "IAM";
    auth.auth_scheme = iam ? AuthScheme::kIam : AuthScheme::kSecrets;
    parse_secret_ref(entry, auth);
    TextRule arn{2048, check_secret_arn, "write it as arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME"};
    auth.secret_arn = entry.text("secretArn", arn).value_or("");
    auth.user_name = entry.text("userName", {63, check_printable}).value_or("");
    if (auto value = entry.choice("iamAuth", {"DISABLED", "ENABLED", "REQUIRED"})) {
      auth.iam_auth = *config::parse_iam_auth(*value);
    }
    auth.client_password_auth_type = out.engine_family == EngineFamily::kMysql
                                         ? PasswordAuthType::kMysqlCachingSha2Password
                                         : PasswordAuthType::kPostgresScramSha256;
    if (auto value = entry.choice("clientPasswordAuthType", auth_types(engine))) {
      auth.client_password_auth_type = *config::parse_password_auth_type(*value);
      auth.auth_type_chosen = true;
    }
    auth.iam_principals = entry.texts("iamPrincipals", 50, {2048, check_printable});
    if (!auth.iam_principals.empty() && auth.iam_auth == config::IamAuth::kDisabled) {
      entry.error("iamPrincipals", "", "has a meaning only with iamAuth: ENABLED or REQUIRED", "remove it");
    }
    check_credentials(entry, auth, out.client_auth == ClientAuth::kPodIdentity);
    entry.finish();
    out.auth.push_back(std::move(auth));
  }
}

}  // namespace dbproxy::manifest
