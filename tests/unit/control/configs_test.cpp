#include "proxy/control/configs.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <sys/stat.h>

#include "proxy/wire/control/convert.hpp"

namespace dbproxy::control {
namespace {

class ConfigsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/dbproxy-configs-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  Configs make(std::vector<std::string> proxies = {}, bool in_memory = false) {
    return Configs(
        {"one", std::move(proxies), directory_, in_memory},
        [this](config::SnapshotPtr snapshot, worker::ListenerTls tls) {
          EXPECT_FALSE(tls.certificate_pem.empty());
          if (refusal_.empty()) applied_.push_back(snapshot->version);
          return refusal_;
        },
        [this](const std::string& proxy) { removed_.push_back(proxy); }, registry_, clock_);
  }
  static v1::ConfigUpdate update(std::uint64_t version, const std::string& name = "orders") {
    config::Snapshot s;
    s.name_space = "shop";
    s.name = name;
    s.version = version;
    s.endpoints = {{"default", 5432, config::TargetRole::kReadWrite, false}};
    s.users = {{"app", Secret("plain-password"), {}, {}, ""}};
    s.max_clients = 10 + static_cast<std::uint32_t>(version);
    v1::ConfigUpdate out;
    out.set_nonce("n" + std::to_string(version));
    out.set_proxy("shop/" + name);
    *out.mutable_snapshot() = wire_control::to_proto(s);
    return out;
  }
  std::string file() const {
    std::ostringstream text;
    text << std::ifstream(directory_ + "/last-good").rdbuf();
    return text.str();
  }

  std::string directory_, refusal_;
  std::vector<std::uint64_t> applied_;
  std::vector<std::string> removed_;
  metrics::Registry registry_;
  SystemClock clock_;
};

TEST_F(ConfigsTest, AckNackAndWhatStaysInForce) {
  Configs configs = make();
  EXPECT_FALSE(configs.complete());
  v1::ConfigUpdate first = update(1);
  const v1::ConfigReply ack = configs.receive(first);
  EXPECT_EQ(ack.error(), "");
  EXPECT_EQ(ack.nonce(), "n1");
  EXPECT_EQ(ack.version(), 1u);
  EXPECT_EQ(first.snapshot().users(0).password(), "");

  refusal_ = "port 5432 is in use";
  v1::ConfigUpdate second = update(2);
  const v1::ConfigReply nack = configs.receive(second);
  EXPECT_EQ(nack.error(), "port 5432 is in use");
  EXPECT_EQ(nack.version(), 1u);
  ASSERT_EQ(configs.held().size(), 1u);
  EXPECT_EQ(configs.held()[0].version(), 1u);

  v1::ConfigUpdate invalid = update(3);
  invalid.mutable_snapshot()->mutable_endpoints(0)->set_port(70000);
  EXPECT_NE(configs.receive(invalid).error().find("endpoints[0].port"), std::string::npos);
  v1::ConfigUpdate empty;
  empty.set_proxy("shop/orders");
  EXPECT_NE(configs.receive(empty).error(), "");
  v1::ConfigUpdate misnamed = update(4);
  misnamed.set_proxy("shop/other");
  EXPECT_NE(configs.receive(misnamed).error(), "");
  EXPECT_EQ(applied_, std::vector<std::uint64_t>{1});
}

// Of another version: fields that this one does not know are no error, and what is said to be held is what was sent.
TEST_F(ConfigsTest, WhatANewerOperatorAdds) {
  Configs configs = make();
  v1::ConfigUpdate newer = update(1);
  newer.GetReflection()->MutableUnknownFields(&newer)->AddVarint(900, 1);
  v1::Snapshot& snapshot = *newer.mutable_snapshot();
  snapshot.GetReflection()->MutableUnknownFields(&snapshot)->AddLengthDelimited(901, "what is to come");
  const std::string sent = wire_control::digest(snapshot);
  const v1::ConfigReply reply = configs.receive(newer);
  EXPECT_EQ(reply.error(), "");
  EXPECT_EQ(applied_, std::vector<std::uint64_t>{1});
  ASSERT_EQ(configs.held().size(), 1u);
  EXPECT_EQ(configs.held()[0].digest(), sent);
}

TEST_F(ConfigsTest, RemovedAndUnwanted) {
  Configs configs = make({"shop/orders"});
  v1::ConfigUpdate other = update(1, "billing");
  EXPECT_NE(configs.receive(other).error(), "");
  v1::ConfigUpdate first = update(1);
  configs.receive(first);
  EXPECT_TRUE(configs.complete());
  v1::ConfigUpdate gone;
  gone.set_proxy("shop/orders");
  gone.set_removed(true);
  EXPECT_EQ(configs.receive(gone).error(), "");
  EXPECT_EQ(removed_, std::vector<std::string>{"shop/orders"});
  EXPECT_FALSE(configs.complete());
}

TEST_F(ConfigsTest, LastGoodSurvivesARestartAndHoldsNoSecret) {
  const Secret token("the token of this sidecar");
  {
    Configs configs = make();
    configs.set_token(token);
    v1::ConfigUpdate first = update(1), second = update(2, "billing");
    configs.receive(first);
    configs.receive(second);
  }
  EXPECT_EQ(file().find("plain-password"), std::string::npos);
  struct stat status {};
  ASSERT_EQ(::stat((directory_ + "/last-good").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);

  applied_.clear();
  Configs again = make();
  EXPECT_EQ(again.restore(Secret("another token, as long")), 0);
  EXPECT_EQ(again.restore(token), 2);
  EXPECT_EQ(applied_, (std::vector<std::uint64_t>{2, 1}));  // by name
  v1::ConfigUpdate same = update(1);
  ASSERT_EQ(again.held().size(), 2u);
  EXPECT_EQ(again.held()[1].digest(), wire_control::digest(same.snapshot()));
  EXPECT_EQ(again.restore(token), 0);  // nothing that is not in force already

  Configs refused = make();
  refusal_ = "port 5432 is in use";
  EXPECT_EQ(refused.restore(token), 0);
}

TEST_F(ConfigsTest, TamperedOrMissingFileIsNoConfiguration) {
  const Secret token("the token of this sidecar");
  Configs configs = make();
  EXPECT_EQ(configs.restore(token), 0);
  configs.set_token(token);
  v1::ConfigUpdate first = update(1);
  configs.receive(first);
  std::string content = file();
  content[content.size() / 2] = static_cast<char>(content[content.size() / 2] ^ 1);
  std::ofstream(directory_ + "/last-good", std::ios::trunc) << content;
  Configs again = make();
  EXPECT_EQ(again.restore(token), 0);
}

TEST_F(ConfigsTest, NewTokenSealsTheFileAnew) {
  Configs configs = make();
  configs.set_token(Secret("first"));
  v1::ConfigUpdate first = update(1);
  configs.receive(first);
  configs.set_token(Secret("second"));
  Configs again = make();
  EXPECT_EQ(again.restore(Secret("second")), 1);
}

// A projected token is exchanged every hour or so, and a container may start again while the operator is away.
TEST_F(ConfigsTest, InMemoryTheFileOutlivesTheToken) {
  Configs configs = make({}, true);
  configs.set_token(Secret("first"));
  v1::ConfigUpdate first = update(1);
  configs.receive(first);
  EXPECT_EQ(file().find("plain-password"), std::string::npos);
  struct stat status {};
  ASSERT_EQ(::stat((directory_ + "/key").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  Configs again = make({}, true);
  EXPECT_EQ(again.restore(Secret("second")), 1);
  std::ofstream(directory_ + "/key", std::ios::trunc) << "short";
  Configs without = make({}, true);
  EXPECT_EQ(without.restore(Secret("second")), 0);
}

TEST(LivesInMemory, TellsTmpfsFromTheRest) {
  EXPECT_FALSE(lives_in_memory(""));
  EXPECT_FALSE(lives_in_memory("/no/such/directory"));
  EXPECT_FALSE(lives_in_memory("/proc"));
  struct stat status {};
  if (::stat("/dev/shm", &status) == 0) EXPECT_TRUE(lives_in_memory("/dev/shm"));
}

}  // namespace
}  // namespace dbproxy::control
