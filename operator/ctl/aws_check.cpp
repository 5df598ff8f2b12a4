#include "operator/ctl/aws_check.hpp"

#include "proxy/aws/database_token.hpp"
#include "proxy/aws/own_keys.hpp"
#include "proxy/aws/rds.hpp"
#include "proxy/aws/secrets_manager.hpp"
#include "proxy/aws/sts.hpp"

namespace dbproxy::ctl {
namespace {

std::string override_of(const manifest::DBProxyResource& proxy, const std::string& service) {
  const auto found = proxy.aws.endpoint_overrides.find(service);
  return found == proxy.aws.endpoint_overrides.end() ? std::string() : found->second;
}

}  // namespace

void check_aws(const manifest::DBProxyResource& proxy, const aws::Environment& environment, const Clock& clock,
               Findings& findings) {
  const auto failed = [&](const std::string& what, const aws::Failure& failure) {
    findings.fail(what, failure.what, failure.remedy.empty() ? "see its message" : failure.remedy);
  };
  std::string region = proxy.aws.region.empty() ? aws::region_of_host(proxy.cluster.endpoint) : proxy.aws.region;
  if (region.empty()) region = aws::region_of(environment);

  aws::OwnKeys own(environment, clock);
  aws::Outcome<aws::CredentialsPtr> keys = own.own();
  if (!keys.ok()) return failed("credentials", keys.failure);
  const auto who = own.whose(keys.value, region.empty() ? "us-east-1" : region, override_of(proxy, "sts"));
  if (!who.ok()) return failed("credentials", who.failure);
  findings.ok("credentials", who.value + ", from " + keys.value->source);

  if (!proxy.aws.service_account_name.empty()) {
    findings.warn("service account",
                  proxy.aws.service_account_name + " has a role of its own, and what follows is tried as yourself",
                  "the condition ResolvedRefs of the DBProxy says how it went: dbproxyctl describe");
  }
  if (!proxy.aws.role_arn.empty()) {
    auto role = aws::assume_role(environment, {region, override_of(proxy, "sts")}, proxy.aws.role_arn, "dbproxy-check",
                                 *keys.value, clock.wall());
    if (!role.ok()) return failed("role", role.failure);
    findings.ok("role", proxy.aws.role_arn + " can be assumed");
    keys.value = std::make_shared<const aws::Credentials>(std::move(role.value));
  }
  for (const manifest::AuthEntry& auth : proxy.auth) {
    if (!auth.secret_arn.empty()) {
      const auto secret = aws::get_secret_value(environment, auth.secret_arn, aws::kCurrent,
                                                override_of(proxy, "secretsmanager"), *keys.value, clock.wall());
      if (!secret.ok()) {
        failed("secret", secret.failure);
      } else if (!auth.user_name.empty() && auth.user_name != secret.value.username) {
        findings.fail("secret", auth.secret_arn + " is of another user than userName says", "remove userName");
      } else {
        findings.ok("secret", auth.secret_arn + " can be read, and is of user " + secret.value.username);
      }
    }
    if (auth.auth_scheme != manifest::AuthScheme::kIam) continue;
    if (region.empty()) {
      findings.fail("token", "the region for tokens of " + auth.user_name + " is not known", "set aws.region");
    } else {
      findings.warn("token", "a token for " + auth.user_name + " in " + region + " can be made",
                    "whether rds-db:connect is allowed only a log-in shows: dbproxyctl preflight");
    }
  }
  if (proxy.cluster.identifier.empty() || !proxy.cluster.instances.empty()) return;
  const auto cluster = aws::describe_cluster(environment, proxy.cluster.identifier, region, override_of(proxy, "rds"),
                                             *keys.value, clock.wall());
  if (!cluster.ok()) return failed("cluster", cluster.failure);
  std::string members;
  for (const auto& each : cluster.value.members) members += (members.empty() ? "" : ", ") + each.id;
  findings.ok("cluster", proxy.cluster.identifier + " at " + cluster.value.endpoint + ": " + members);
}

}  // namespace dbproxy::ctl
