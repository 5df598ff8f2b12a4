#include "operator/status/installation_ca.hpp"

#include <gtest/gtest.h>

#include "operator/kubernetes/json.hpp"

namespace dbproxy::operator_status {
namespace {

namespace json = boost::json;

json::object spec(const std::string& tls, bool iam = false) {
  return json::parse(R"({"auth": [{"secretRef": {"name": "a"}})" +
                     std::string(iam ? R"(, {"authScheme": "IAM", "userName": "app"})" : "") +
                     R"(], "targetGroups": [{"dbCluster": {"endpoint": "db")" + tls + "}}]}")
      .as_object();
}

std::string ca_of(const json::object& spec) {
  const json::object& cluster = spec.at("targetGroups").as_array().at(0).as_object().at("dbCluster").as_object();
  return std::string(kubernetes::text_at(cluster, {"tls", "caRef", "name"}));
}

std::string told(const CaUse& use, std::vector<manifest::Diagnostic> before = {}) {
  tell_ca_use(use, "shop/orders", before);
  std::string out;
  for (const manifest::Diagnostic& each : before) out += manifest::to_text(each) + "\n";
  return out;
}

constexpr const char* kOwn = R"(, "tls": {"caRef": {"name": "own"}})";

TEST(InstallationCa, IsReferredToWhereNoneIsNamed) {
  json::object plain = spec("");
  CaUse use = refer_to_installation_ca(plain, true);
  EXPECT_TRUE(use.refers && !use.replaced && !use.missing);
  EXPECT_EQ(ca_of(plain), kInstallationCa);
  json::object own = spec(kOwn);
  use = refer_to_installation_ca(own, true);
  EXPECT_FALSE(use.refers || use.replaced || use.missing);
  EXPECT_EQ(ca_of(own), "own");
  json::object unverified = spec(R"(, "tls": {"mode": "require"})", true);
  use = refer_to_installation_ca(unverified, false);
  EXPECT_FALSE(use.refers || use.missing) << "the loader says that tokens need verify-full";
}

TEST(InstallationCa, AloneVouchesForWhereTokensGo) {
  json::object own = spec(kOwn, true);
  const CaUse use = refer_to_installation_ca(own, true);
  EXPECT_TRUE(use.refers && use.replaced && !use.missing);
  EXPECT_EQ(ca_of(own), kInstallationCa);
  EXPECT_NE(told(use).find("is not used"), std::string::npos);
}

TEST(InstallationCa, ThatThereIsNoneIsSaidOnceWithWhatToDo) {
  manifest::Diagnostic loaders;
  loaders.field = "spec.targetGroups[0].dbCluster.tls.caRef";
  loaders.rule = "is missing: mode verify-full has no CA to verify the database with";
  for (const std::string& tls : {std::string(), std::string(kOwn)}) {
    json::object without = spec(tls, true);
    const CaUse use = refer_to_installation_ca(without, false);
    EXPECT_TRUE(use.missing && !use.refers);
    const std::string text = told(use, {loaders});
    EXPECT_NE(text.find("this installation has none"), std::string::npos) << text;
    EXPECT_NE(text.find("have rdsCA of the installation set"), std::string::npos) << text;
    EXPECT_EQ(text.find("is missing"), std::string::npos) << text;
  }
  json::object passwords = spec(kOwn);
  EXPECT_FALSE(refer_to_installation_ca(passwords, false).missing);
  EXPECT_EQ(told({}, {loaders}), manifest::to_text(loaders) + "\n");
}

}  // namespace
}  // namespace dbproxy::operator_status
