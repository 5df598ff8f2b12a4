#include "proxy/wire/control/convert.hpp"

#include <functional>
#include <gtest/gtest.h>
#include <limits>

namespace dbproxy::wire_control {
namespace {

config::Snapshot example() {
  config::Snapshot s;
  s.name_space = "shop";
  s.name = "orders";
  s.version = 7;
  s.require_tls = true;
  s.debug_logging = true;
  s.sequence_pinning = true;
  s.deferred_begin = false;
  s.discovery = {"?.abc.example", 5432, "SELECT 1", 2.5};
  s.maintenance = {1'764'000'000'123, std::chrono::seconds(300), 1'764'000'000'999};
  s.idle_client_timeout = std::chrono::seconds(60);
  s.max_client_age = std::chrono::seconds(0);
  s.max_clients = 500;
  s.limits = {5, 6, std::chrono::milliseconds(7), std::chrono::milliseconds(8), std::chrono::milliseconds(9)};
  s.endpoints = {{"default", 5432, config::TargetRole::kReadWrite, false},
                 {"readers", 5433, config::TargetRole::kReadOnly, true}};
  s.users = {{"app",
              Secret("s3cret"),
              config::PasswordAuthType::kPostgresMd5,
              config::IamAuth::kEnabled,
              "words",
              config::AuthScheme::kIam,
              Secret("0lder"),
              {"arn:aws:iam::123456789012:role/shop"},
              false,
              "app_old",
              WallTime(std::chrono::seconds(1'764'000'000))}};
  s.credential_grace = std::chrono::hours(24);
  s.aws = {"us-east-2", "arn:aws:iam::123456789012:role/db", "https://sts.us-east-2.amazonaws.com"};
  s.targets = {{"orders-1", "db.example", 5432, config::TargetRole::kReadOnly, config::TargetHealth::kUnavailable,
                config::HealthReason::kAuthFailure, 100, 3, 1.5, "8.0.36", 0x81bff7df}};
  s.server_tls = {config::TlsMode::kVerifyCa, "PEM", config::CaOwner::kNamespace, true, "client PEM",
                  Secret("client k3y")};
  s.client_cert = {config::ClientCertMode::kVerifyFull, "CA of clients"};
  s.pod_identity = {true, true, {1000, 4294967294}};
  s.pool = {90, 40, std::chrono::seconds(5), true, "SET a = b", 7, 0, std::chrono::seconds(9)};
  s.endpoint_policy = {true, {"10.96.0.0/16"}, {"rds.amazonaws.com", "10.0.0.0/8"}};
  s.tags = {{"team", "shop"}, {"a", "b"}, {"c", "d"}};
  return s;
}

TEST(Convert, RoundTripKeepsEveryField) {
  config::Snapshot back;
  EXPECT_EQ(from_proto(to_proto(example()), back), "");
  EXPECT_TRUE(back.same_content(example()));
  EXPECT_EQ(back.version, 7u);
}

// Older sidecars refuse a snapshot with a reason that they do not know.
TEST(Convert, ReasonsOfOurOwnStayOffTheWire) {
  config::Snapshot refused = example();
  refused.targets[0].reason = config::HealthReason::kEndpointRefused;
  config::Snapshot back;
  EXPECT_EQ(from_proto(to_proto(refused), back), "");
  EXPECT_EQ(back.targets[0].reason, config::HealthReason::kConnectionFailed);
  refused.endpoint_policy = {};
  EXPECT_FALSE(to_proto(refused).has_endpoint_policy());
  v1::Snapshot long_list = to_proto(example());
  for (int i = 0; i < 300; ++i) long_list.mutable_endpoint_policy()->add_allowed("x");
  EXPECT_NE(from_proto(long_list, back).find("endpoint_policy.allowed has"), std::string::npos);
}

TEST(Convert, DigestDependsOnContentOnly) {
  v1::Snapshot message = to_proto(example());
  const std::string first = digest(message);
  EXPECT_EQ(first.size(), 32u);
  message.set_version(8);
  message.set_listener_key_pem("key");
  message.set_listener_certificate_pem("certificate");
  EXPECT_EQ(digest(message), first);
  EXPECT_EQ(message.listener_key_pem(), "key");
  message.mutable_users(0)->set_password("other");
  EXPECT_NE(digest(message), first);
}

TEST(Convert, WipeLeavesNoSecret) {
  v1::Snapshot message = to_proto(example());
  message.set_listener_key_pem("the key");
  wipe(message);
  const std::string bytes = message.SerializeAsString();
  EXPECT_EQ(bytes.find("s3cret"), std::string::npos);
  EXPECT_EQ(bytes.find("the key"), std::string::npos);
  EXPECT_EQ(bytes.find("0lder"), std::string::npos);
  EXPECT_EQ(bytes.find("client k3y"), std::string::npos);
}

struct BadCase {
  const char* name;
  std::function<void(v1::Snapshot&)> spoil;
  const char* says;
};

class ReceiveTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(ReceiveTest, RefusedInWords) {
  v1::Snapshot message = to_proto(example());
  GetParam().spoil(message);
  config::Snapshot out;
  const std::string error = from_proto(message, out);
  EXPECT_NE(error.find(GetParam().says), std::string::npos) << error;
  EXPECT_EQ(error.find("s3cret"), std::string::npos);
}

void too_many_users(v1::Snapshot& m) {
  for (int i = 0; i < 1001; ++i) *m.add_users() = m.users(0);
}

INSTANTIATE_TEST_SUITE_P(
    Bounds, ReceiveTest,
    ::testing::Values(
        BadCase{"NoName", [](auto& m) { m.clear_name(); }, "name is empty"},
        BadCase{"LongName", [](auto& m) { m.set_name(std::string(64, 'a')); }, "name has 64 bytes"},
        BadCase{"NoEndpoints", [](auto& m) { m.clear_endpoints(); }, "endpoints has 0 entries"},
        BadCase{"PortZero", [](auto& m) { m.mutable_endpoints(0)->set_port(0); }, "endpoints[0].port is 0"},
        BadCase{"PortTooLarge", [](auto& m) { m.mutable_endpoints(1)->set_port(65536); }, "endpoints[1].port is 65536"},
        BadCase{"PortTwice", [](auto& m) { m.mutable_endpoints(1)->set_port(5432); }, "second time"},
        BadCase{"UnknownRole", [](auto& m) { m.mutable_targets(0)->set_role(static_cast<v1::TargetRole>(9)); },
                "targets[0].role has the value 9"},
        BadCase{"UnsetTls", [](auto& m) { m.clear_server_tls_mode(); }, "server_tls_mode has the value 0"},
        BadCase{"UnknownClientCert", [](auto& m) { m.set_client_cert_mode(static_cast<v1::ClientCertMode>(7)); },
                "client_cert_mode has the value 7"},
        BadCase{"LongKey", [](auto& m) { m.set_server_client_key_pem(std::string(1024 * 1024 + 1, 'k')); },
                "server_client_key_pem has 1048577 bytes"},
        BadCase{"UserTwice", [](auto& m) { *m.add_users() = m.users(0); }, "users[1].name"},
        BadCase{"TooManyUsers", too_many_users, "users has 1002 entries"},
        BadCase{"ZeroByte", [](auto& m) { m.mutable_users(0)->set_password(std::string("a\0b", 3)); }, "zero byte"},
        BadCase{"LongRole", [](auto& m) { m.mutable_aws()->set_role_arn(std::string(2049, 'r')); },
                "aws.role_arn has 2049 bytes"},
        BadCase{"ManyPrincipals",
                [](auto& m) {
                  for (int i = 0; i < 51; ++i) m.mutable_users(0)->add_iam_principals("arn");
                },
                "users[0].iam_principals has 52 entries"},
        BadCase{"UnknownScheme", [](auto& m) { m.mutable_users(0)->set_auth_scheme(static_cast<v1::AuthScheme>(5)); },
                "users[0].auth_scheme"},
        BadCase{"ManyUids",
                [](auto& m) {
                  for (std::uint32_t i = 0; i < 65; ++i) m.add_pod_identity_uids(i);
                },
                "pod_identity_uids has 67 entries"},
        BadCase{"LagNotANumber",
                [](auto& m) { m.mutable_targets(0)->set_lag_seconds(std::numeric_limits<double>::quiet_NaN()); },
                "lag_seconds"},
        BadCase{"Timeout", [](auto& m) { m.mutable_limits()->set_statement_timeout_ms(2147483648U); },
                "limits.statement_timeout_ms is 2147483648"},
        BadCase{"PercentZero", [](auto& m) { m.mutable_pool()->set_max_connections_percent(0); }, "1 to 100"},
        BadCase{"PercentHigh", [](auto& m) { m.mutable_pool()->set_max_connections_percent(101); }, "1 to 100"},
        BadCase{"Borrow", [](auto& m) { m.mutable_pool()->set_borrow_timeout_seconds(301); }, "0 to 300"}),
    [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace dbproxy::wire_control
