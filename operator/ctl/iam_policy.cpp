#include "operator/ctl/iam_policy.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <set>

#include "proxy/aws/database_token.hpp"
#include "proxy/aws/secrets_manager.hpp"

namespace dbproxy::ctl {
namespace {

namespace json = boost::json;

constexpr std::size_t kSuffix = 7;  // "-AbCdEf", which Secrets Manager puts after a secret's name

json::object document(json::array statements) {
  return {{"Version", "2012-10-17"}, {"Statement", std::move(statements)}};
}

// A name without the suffix is taken by GetSecretValue, but is no ARN of a policy. Where nobody can tell a suffix from
// the last word of a name, both are meant.
void add_resources(const std::string& arn, std::set<std::string>& out) {
  const auto all = [&](auto test) { return std::all_of(arn.end() - (kSuffix - 1), arn.end(), test); };
  const bool whole = arn.size() > kSuffix && arn[arn.size() - kSuffix] == '-' &&
                     all([](unsigned char c) { return std::isalnum(c) != 0; });
  const bool word = whole && all([](unsigned char c) { return std::islower(c) != 0; });
  if (whole) out.insert(arn);
  if (!whole || word) out.insert(arn + "-??????");
}

json::array texts(const std::set<std::string>& all) {
  json::array out;
  for (const std::string& each : all) out.emplace_back(each);
  return out;
}

std::set<std::string> secrets_of(const manifest::DBProxyResource& proxy) {
  std::set<std::string> out;
  for (const auto& auth : proxy.auth) {
    if (!auth.secret_arn.empty()) add_resources(auth.secret_arn, out);
  }
  return out;
}

json::array statements(const manifest::DBProxyResource& proxy, const std::string& account, std::string& error) {
  json::array out;
  const std::set<std::string> secrets = secrets_of(proxy);
  if (!secrets.empty()) {
    out.push_back(json::object{{"Sid", "ReadSecrets"},
                               {"Effect", "Allow"},
                               {"Action", "secretsmanager:GetSecretValue"},
                               {"Resource", texts(secrets)}});
  }
  std::map<std::string, std::set<std::string>> by_place;  // "partition:region:account" → secrets
  for (const std::string& secret : secrets) {
    const aws::Arn arn = aws::parse_arn(secret);
    by_place[arn.partition + ":kms:" + arn.region + ":" + arn.account].insert(secret);
  }
  for (const auto& [place, of] : by_place) {
    const std::string region = aws::parse_arn("arn:" + place + ":x").region;
    const std::string domain = place.starts_with("aws-cn:") ? ".amazonaws.com.cn" : ".amazonaws.com";
    // A key of one's own only: the account's default key for Secrets Manager needs no permission. The ARN of a secret
    // is the context in which its key is used.
    out.push_back(json::object{
        {"Sid", "DecryptSecrets" + std::to_string(out.size())},
        {"Effect", "Allow"},
        {"Action", "kms:Decrypt"},
        {"Resource", "arn:" + place + ":key/*"},
        {"Condition",
         json::object{{"StringEquals", json::object{{"kms:ViaService", "secretsmanager." + region + domain}}},
                      {"StringLike", json::object{{"kms:EncryptionContext:SecretARN", texts(of)}}}}}});
  }
  std::set<std::string> users;
  for (const auto& auth : proxy.auth) {
    if (auth.auth_scheme == manifest::AuthScheme::kIam) users.insert(auth.user_name);
  }
  const bool looked_up = !proxy.cluster.identifier.empty() && proxy.cluster.instances.empty();
  if (users.empty() && !looked_up) return out;
  std::string region = proxy.aws.region.empty() ? aws::region_of_host(proxy.cluster.endpoint) : proxy.aws.region;
  if (region.empty()) error = "the database's region is not known: set aws.region";
  const std::string partition = region.starts_with("cn-") ? "aws-cn" : "aws";
  if (looked_up) {
    // The instances of a cluster are asked for by a filter, which no ARN can stand for.
    const std::string place = "arn:" + partition + ":rds:" + region + ":" + account;
    out.push_back(
        json::object{{"Sid", "FindCluster"},
                     {"Effect", "Allow"},
                     {"Action", json::array{"rds:DescribeDBClusters", "rds:DescribeDBInstances"}},
                     {"Resource", json::array{place + ":cluster:" + proxy.cluster.identifier, place + ":db:*"}}});
  }
  if (users.empty()) return out;
  std::set<std::string> resources;
  for (const std::string& user : users) {
    resources.insert("arn:" + partition + ":rds-db:" + region + ":" + account + ":dbuser:*/" + user);
  }
  out.push_back(json::object{
      {"Sid", "LogInToDatabase"}, {"Effect", "Allow"}, {"Action", "rds-db:connect"}, {"Resource", texts(resources)}});
  return out;
}

json::object trust(const IamPolicyOptions& options, const std::string& account) {
  const std::size_t slash = options.service_account.find('/');
  const std::string name_space = options.service_account.substr(0, slash);
  const std::string name = options.service_account.substr(slash + 1);
  if (options.oidc_provider.empty()) {
    return document({json::object{
        {"Effect", "Allow"},
        {"Principal", json::object{{"Service", "pods.eks.amazonaws.com"}}},
        {"Action", json::array{"sts:AssumeRole", "sts:TagSession"}},
        {"Condition",
         json::object{{"StringEquals", json::object{{"aws:SourceAccount", account},
                                                    {"aws:RequestTag/kubernetes-namespace", name_space},
                                                    {"aws:RequestTag/kubernetes-service-account", name}}}}}}});
  }
  std::string provider = options.oidc_provider;
  if (provider.starts_with("https://")) provider.erase(0, 8);
  const std::string partition =
      provider.ends_with(".cn") || provider.find(".cn/") != std::string::npos ? "aws-cn" : "aws";
  return document({json::object{
      {"Effect", "Allow"},
      {"Principal",
       json::object{{"Federated", "arn:" + partition + ":iam::" + account + ":oidc-provider/" + provider}}},
      {"Action", "sts:AssumeRoleWithWebIdentity"},
      {"Condition", json::object{{"StringEquals", json::object{{provider + ":aud", "sts.amazonaws.com"},
                                                               {provider + ":sub", "system:serviceaccount:" +
                                                                                       name_space + ":" + name}}}}}}});
}

}  // namespace

json::object iam_policy(const manifest::DBProxyResource& proxy, const IamPolicyOptions& options, std::string& error) {
  const std::size_t slash = options.service_account.find('/');
  const std::string& own_account = proxy.aws.service_account_name;
  if (slash == std::string::npos || slash == 0 || slash + 1 == options.service_account.size())
    return error = "--service-account: it is not NAMESPACE/NAME", json::object{};
  std::string account = options.account;
  if (account.empty() && !proxy.aws.role_arn.empty()) account = aws::parse_arn(proxy.aws.role_arn).account;
  for (const auto& auth : proxy.auth) {
    if (account.empty()) account = aws::parse_arn(auth.secret_arn).account;
  }
  const bool is_account = account.size() == 12 && account.find_first_not_of("0123456789") == std::string::npos;
  if (!is_account) return error = "--account is needed: twelve digits", json::object{};
  json::array needed = statements(proxy, account, error);
  if (!error.empty()) return {};
  if (needed.empty())
    return error = "it uses nothing of AWS: no secretArn, no identifier, and no authScheme: IAM", json::object{};
  json::object out{{"policy", document(std::move(needed))}};
  if (!own_account.empty()) {
    // The operator shows the account's token, which only IRSA knows.
    if (options.oidc_provider.empty())
      return error = "--oidc-provider is needed: the role of aws.serviceAccountName is taken by IRSA", json::object{};
    IamPolicyOptions of_account = options;
    of_account.service_account = proxy.metadata.name_space + "/" + own_account;
    out["trustPolicy"] = trust(of_account, account);
    return out;
  }
  if (proxy.aws.role_arn.empty()) {
    out["trustPolicy"] = trust(options, account);
    return out;
  }
  // The role is assumed by the operator, whose own role is that of its service account.
  out["operatorPolicy"] = document({json::object{
      {"Sid", "AssumeRole"}, {"Effect", "Allow"}, {"Action", "sts:AssumeRole"}, {"Resource", proxy.aws.role_arn}}});
  out["operatorTrustPolicy"] = trust(options, account);
  out["trustPolicy"] = document(
      {json::object{{"Effect", "Allow"},
                    {"Principal", json::object{{"AWS", "arn:" + aws::parse_arn(proxy.aws.role_arn).partition +
                                                           ":iam::" + account + ":role/ROLE-OF-THE-OPERATOR"}}},
                    {"Action", "sts:AssumeRole"}}});
  return out;
}

}  // namespace dbproxy::ctl
