#include "operator/ctl/iam_policy.hpp"

#include <boost/json.hpp>
#include <gtest/gtest.h>

namespace dbproxy::ctl {
namespace {

namespace json = boost::json;

manifest::DBProxyResource orders() {
  manifest::DBProxyResource proxy;
  proxy.metadata.name = "orders";
  for (const char* arn : {"arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-app-AbCdEf",
                          "arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-all"}) {
    manifest::AuthEntry auth;
    auth.secret_arn = arn;
    proxy.auth.push_back(auth);
  }
  return proxy;
}

json::value policy_of(const manifest::DBProxyResource& proxy, const IamPolicyOptions& options = {}) {
  std::string error;
  json::value out = iam_policy(proxy, options, error);
  EXPECT_EQ(error, "");
  return out;
}

TEST(IamPolicy, AllowsExactlyTheSecretsAndTheirKeys) {
  EXPECT_EQ(policy_of(orders()).at("policy"), json::parse(R"({"Version": "2012-10-17", "Statement": [
    {"Sid": "ReadSecrets", "Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": [
      "arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-all-??????",
      "arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-app-AbCdEf"]},
    {"Sid": "DecryptSecrets1", "Effect": "Allow", "Action": "kms:Decrypt",
     "Resource": "arn:aws:kms:us-east-2:123456789012:key/*",
     "Condition": {"StringEquals": {"kms:ViaService": "secretsmanager.us-east-2.amazonaws.com"},
                   "StringLike": {"kms:EncryptionContext:SecretARN": [
      "arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-all-??????",
      "arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-app-AbCdEf"]}}}]})"));
}

TEST(IamPolicy, MeansBothWhereASuffixMayBeAWord) {
  manifest::DBProxyResource proxy = orders();
  proxy.auth.resize(1);
  proxy.auth[0].secret_arn = "arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-report";
  const json::value policy = policy_of(proxy);
  EXPECT_EQ(policy.at("policy").at("Statement").at(0).at("Resource"),
            json::parse(R"(["arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-report",
                            "arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-report-??????"])"));
}

TEST(IamPolicy, HasAStatementForTheKeysOfEachAccountAndRegion) {
  manifest::DBProxyResource proxy = orders();
  proxy.auth[1].secret_arn = "arn:aws-cn:secretsmanager:cn-north-1:210987654321:secret:x-AbCdEf";
  const json::value policy = policy_of(proxy);
  const json::array& statements = policy.at("policy").at("Statement").as_array();
  ASSERT_EQ(statements.size(), 3U);
  EXPECT_EQ(statements[1].at("Resource"), json::value("arn:aws-cn:kms:cn-north-1:210987654321:key/*"));
  EXPECT_EQ(statements[1].at("Condition").at("StringEquals").at("kms:ViaService"),
            json::value("secretsmanager.cn-north-1.amazonaws.com.cn"));
  EXPECT_EQ(statements[2].at("Resource"), json::value("arn:aws:kms:us-east-2:123456789012:key/*"));
}

TEST(IamPolicy, TrustsTheOperatorByPodIdentity) {
  EXPECT_EQ(policy_of(orders()).at("trustPolicy"), json::parse(R"({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "pods.eks.amazonaws.com"},
     "Action": ["sts:AssumeRole", "sts:TagSession"],
     "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012",
                                    "aws:RequestTag/kubernetes-namespace": "dbproxy",
                                    "aws:RequestTag/kubernetes-service-account": "dbproxy-operator"}}}]})"));
}

TEST(IamPolicy, TrustsTheOperatorByIrsa) {
  IamPolicyOptions options;
  options.oidc_provider = "https://oidc.eks.us-east-2.amazonaws.com/id/ABC";
  options.service_account = "infra/pool";
  EXPECT_EQ(policy_of(orders(), options).at("trustPolicy"), json::parse(R"({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow",
     "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-2.amazonaws.com/id/ABC"},
     "Action": "sts:AssumeRoleWithWebIdentity",
     "Condition": {"StringEquals": {"oidc.eks.us-east-2.amazonaws.com/id/ABC:aud": "sts.amazonaws.com",
                   "oidc.eks.us-east-2.amazonaws.com/id/ABC:sub": "system:serviceaccount:infra:pool"}}}]})"));
}

TEST(IamPolicy, LetsTheOperatorAssumeARole) {
  manifest::DBProxyResource proxy = orders();
  proxy.aws.role_arn = "arn:aws:iam::210987654321:role/reader";
  const json::value all = policy_of(proxy);
  EXPECT_EQ(all.at("operatorPolicy").at("Statement").at(0).at("Action"), json::value("sts:AssumeRole"));
  EXPECT_EQ(all.at("operatorPolicy").at("Statement").at(0).at("Resource"), json::value(proxy.aws.role_arn));
  EXPECT_EQ(all.at("trustPolicy").at("Statement").at(0).at("Action"), json::value("sts:AssumeRole"));
}

TEST(IamPolicy, SaysWhatIsMissing) {
  std::string error;
  manifest::DBProxyResource nothing;
  iam_policy(nothing, {}, error);
  EXPECT_EQ(error, "--account is needed: twelve digits");
  IamPolicyOptions options;
  options.account = "123456789012";
  error.clear();
  iam_policy(nothing, options, error);
  EXPECT_EQ(error, "it uses nothing of AWS: no secretArn, no identifier, and no authScheme: IAM");
  options.service_account = "pool";
  error.clear();
  iam_policy(orders(), options, error);
  EXPECT_EQ(error, "--service-account: it is not NAMESPACE/NAME");
}

TEST(IamPolicy, TrustsTheServiceAccountOfTheDbProxy) {
  manifest::DBProxyResource proxy = orders();
  proxy.metadata.name_space = "shop";
  proxy.aws.service_account_name = "orders-database";
  const json::value out = policy_of(proxy, {.oidc_provider = "oidc.eks.us-east-2.amazonaws.com/id/ABC"});
  EXPECT_EQ(out.at("trustPolicy"), json::parse(R"({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow",
     "Principal": {"Federated": "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-east-2.amazonaws.com/id/ABC"},
     "Action": "sts:AssumeRoleWithWebIdentity",
     "Condition": {"StringEquals": {
       "oidc.eks.us-east-2.amazonaws.com/id/ABC:aud": "sts.amazonaws.com",
       "oidc.eks.us-east-2.amazonaws.com/id/ABC:sub": "system:serviceaccount:shop:orders-database"}}}]})"));
  EXPECT_FALSE(out.as_object().contains("operatorPolicy"));
  std::string error;
  iam_policy(proxy, {}, error);
  EXPECT_NE(error.find("--oidc-provider is needed"), std::string::npos) << error;
}

}  // namespace
}  // namespace dbproxy::ctl
