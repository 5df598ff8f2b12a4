#include "proxy/net/address_policy.hpp"

#include <gtest/gtest.h>

namespace dbproxy::net {
namespace {

AddressPolicy policy(std::vector<std::string> refused = {}, std::vector<std::string> allowed = {},
                     const std::vector<Address>& own = {}) {
  return AddressPolicy(config::EndpointPolicy{true, std::move(refused), std::move(allowed)}, own);
}

Address address(const std::string& text) {
  return *numeric_address(text, 5432);
}

TEST(AddressPolicy, WithoutRestrictionEverythingGoes) {
  const AddressPolicy any;
  for (const char* host : {"127.0.0.1", "::1", "169.254.169.254", "/var/run/postgresql", "localhost"}) {
    EXPECT_EQ(any.refuse_host(host), "") << host;
  }
  EXPECT_EQ(any.refuse_address("x", address("127.0.0.1")), "");
}

TEST(AddressPolicy, RefusesWhatOnlyThePodCanReach) {
  const AddressPolicy only = policy({"10.96.0.0/16", "fd12::/108"}, {}, {address("10.244.0.9"), address("fd77::9")});
  const std::vector<std::pair<const char*, const char*>> cases{
      {"127.0.0.1", "a loopback address"},
      {"127.8.8.8", "a loopback address"},
      {"::1", "a loopback address"},
      {"::ffff:127.0.0.1", "a loopback address"},
      {"64:ff9b::7f00:1", "a loopback address"},
      {"2002:7f00:1::", "a loopback address"},
      {"::127.0.0.1", "a loopback address"},
      {"0.0.0.0", "an unspecified address"},
      {"0.1.2.3", "an unspecified address"},
      {"::", "an unspecified address"},
      {"169.254.169.254", "the cloud's metadata service"},
      {"::ffff:169.254.169.254", "the cloud's metadata service"},
      {"64:ff9b::a9fe:a9fe", "the cloud's metadata service"},
      {"169.254.170.23", "the cloud's metadata service"},
      {"fd00:ec2::254", "the cloud's metadata service"},
      {"fd00:ec2::23", "the cloud's metadata service"},
      {"169.254.0.1", "a link-local address"},
      {"fe80::1", "a link-local address"},
      {"febf::1", "a link-local address"},
      {"224.0.0.1", "a multicast address"},
      {"ff02::1", "a multicast address"},
      {"255.255.255.255", "a reserved address"},
      {"10.96.0.1", "in the cluster's range of Services"},
      {"::ffff:10.96.255.255", "in the cluster's range of Services"},
      {"fd12::ffff", "in the cluster's range of Services"},
      {"10.244.0.9", "an address of the pod itself"},
      {"fd77::9", "an address of the pod itself"},
  };
  for (const auto& [text, what] : cases) {
    EXPECT_EQ(only.refuse_address("db.example", address(text)), std::string("it is ") + what) << text;
    EXPECT_NE(only.refuse_host(text).find(what), std::string::npos) << text;
  }
  for (const char* good : {"10.0.0.1", "10.97.0.1", "10.244.0.10", "192.168.1.1", "172.31.77.1", "52.1.2.3", "fd13::1",
                           "2600:1f16::1", "100.100.100.201", "2002:0a00:1::"}) {
    EXPECT_EQ(only.refuse_address("db.example", address(good)), "") << good;
    EXPECT_EQ(only.refuse_host(good), "") << good;
  }
  EXPECT_EQ(only.refuse_host("/tmp"), "is a path of this machine");
  EXPECT_EQ(only.refuse_host("LocalHost."), "is a loopback address");
  EXPECT_EQ(only.refuse_host("orders.cluster-abc.us-east-2.rds.amazonaws.com"), "");
}

TEST(AddressPolicy, ListedNamesBoundWhatIsAllowed) {
  const AddressPolicy only = policy({}, {"rds.amazonaws.com", "*.db.Example.", "10.1.0.0/16"});
  const AddressPolicy names = policy({}, {"rds.amazonaws.com"});
  EXPECT_EQ(names.refuse_host("orders.abc.us-east-2.RDS.amazonaws.com."), "");
  EXPECT_EQ(names.refuse_host("rds.amazonaws.com"), "");
  EXPECT_NE(names.refuse_host("evilrds.amazonaws.com"), "");
  EXPECT_NE(names.refuse_host("rds.amazonaws.com.evil.example"), "");
  EXPECT_NE(names.refuse_host("10.1.2.3"), "");
  // With a range, only the address can tell.
  EXPECT_EQ(only.refuse_host("anything.example"), "");
  EXPECT_EQ(only.refuse_address("anything.example", address("10.1.9.9")), "");
  EXPECT_NE(only.refuse_address("anything.example", address("10.2.0.1")), "");
  EXPECT_EQ(only.refuse_address("a.db.example", address("10.2.0.1")), "");
  // A name that is allowed still leads nowhere where it must not.
  EXPECT_EQ(only.refuse_address("a.db.example", address("169.254.169.254")), "it is the cloud's metadata service");
}

TEST(AddressPolicy, AListedRangeIsMeantWhateverItIs) {
  const AddressPolicy loopback = policy({"10.96.0.0/16"}, {"127.0.0.1", "10.96.7.0/24", "10.0.0.0/8"});
  EXPECT_EQ(loopback.refuse_host("127.0.0.1"), "");
  EXPECT_EQ(loopback.refuse_address("localhost", address("127.0.0.1")), "");
  EXPECT_EQ(loopback.refuse_address("db", address("10.96.7.9")), "");
  EXPECT_NE(loopback.refuse_host("127.0.0.2"), "");
  EXPECT_NE(loopback.refuse_host("::1"), "");
}

TEST(AddressPolicy, LeavesTheAddressesThatMayBeUsed) {
  const AddressPolicy only = policy();
  std::string error;
  auto left = only.admit("db", {address("127.0.0.1"), address("10.0.0.1")}, error);
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(to_string(left[0]), "10.0.0.1:5432");
  EXPECT_EQ(error, "");
  left = only.admit("db", {address("::1"), address("169.254.169.254")}, error);
  EXPECT_TRUE(left.empty());
  EXPECT_EQ(error, "the address is refused: it is a loopback address");
}

TEST(AddressRange, IsReadStrictly) {
  for (const char* good : {"10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "fd00::/8", "::/0", "10.0.0.0/32"}) {
    EXPECT_TRUE(AddressRange::parse(good)) << good;
    EXPECT_TRUE(is_policy_entry(good)) << good;
  }
  for (const char* bad :
       {"", "10.0.0/8", "10.0.0.0/33", "fd00::/129", "10.0.0.0/", "10.0.0.0/8x", "10.0.0.0/-1", "x/8"}) {
    EXPECT_FALSE(AddressRange::parse(bad)) << bad;
    EXPECT_FALSE(is_policy_entry(bad)) << bad;
  }
  EXPECT_TRUE(is_policy_entry("*.rds.amazonaws.com"));
  EXPECT_TRUE(is_policy_entry(".rds.amazonaws.com"));
  EXPECT_FALSE(is_policy_entry("https://rds.amazonaws.com"));
  EXPECT_FALSE(is_policy_entry("10.0.0.300"));
}

}  // namespace
}  // namespace dbproxy::net
