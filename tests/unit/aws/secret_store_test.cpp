// SecretStore on a stand-in of Secrets Manager on loopback.
#include "proxy/aws/secret_store.hpp"

#include <atomic>
#include <condition_variable>
#include <gtest/gtest.h>
#include <map>
#include <mutex>

#include "proxy/http/server.hpp"

namespace dbproxy::aws {
namespace {

using namespace std::chrono_literals;
using Kind = Failure::Kind;

constexpr const char* kArn = "arn:aws:secretsmanager:us-east-2:123456789012:secret:orders-AbCdEf";

class StoreTest : public testing::Test {
 protected:
  StoreTest() {
    server_.route("POST", "/", [this](const http::Request& request) {
      const std::lock_guard lock(mutex_);
      ++calls_;
      last_ = request.body;
      return answer_;
    });
    EXPECT_EQ(server_.start(), "");
    options_.poll = 50ms;
    options_.environment = [url = "http://127.0.0.1:" + std::to_string(server_.port())](const std::string& name) {
      static const std::map<std::string, std::string> kVariables{{"AWS_ACCESS_KEY_ID", "AKIA"},
                                                                 {"AWS_SECRET_ACCESS_KEY", "s"}};
      if (name == "AWS_ENDPOINT_URL") return url;
      const auto found = kVariables.find(name);
      return found == kVariables.end() ? std::string() : found->second;
    };
    say("one");
  }

  void say(const std::string& password) {
    const std::lock_guard lock(mutex_);
    answer_ = {200, "application/json",
               R"({"VersionId":"v-)" + password + R"(","SecretString":"{\"username\":\"app\",\"password\":\")" +
                   password + R"(\"}"})"};
  }
  void fail(unsigned status, const std::string& type) {
    const std::lock_guard lock(mutex_);
    answer_ = {status, "application/json", R"({"__type":")" + type + R"(","Message":"no"})"};
  }
  int calls() {
    const std::lock_guard lock(mutex_);
    return calls_;
  }
  // Waits for a callback after which `good`.
  template <class Condition>
  bool eventually(Condition good) {
    std::unique_lock lock(told_);
    return wake_.wait_for(lock, 20s, good);
  }
  SecretStore::Changed changed() {
    return [this](const std::set<std::string>& owners) {
      const std::lock_guard lock(told_);
      owners_ = owners;
      wake_.notify_all();
    };
  }

  std::mutex mutex_;
  int calls_ = 0;
  std::string last_;
  http::Response answer_;
  http::Server server_{http::ServerOptions{}};
  SecretStoreOptions options_;
  SystemClock clock_;
  std::mutex told_;
  std::condition_variable wake_;
  std::set<std::string> owners_;
};

TEST_F(StoreTest, ReadsOnceForAllWhoWantIt) {
  options_.poll = 1h;
  SecretStore store(options_, changed(), clock_);
  store.want("shop/a", {{kArn, "", "", ""}});
  ASSERT_TRUE(store.wait("shop/a", 20s));
  store.want("shop/b", {{kArn, "", "", ""}});
  ASSERT_TRUE(store.wait("shop/b", 20s));
  EXPECT_EQ(calls(), 1);
  EXPECT_EQ(store.state({kArn, "", "", ""}).current->password.reveal(), "one");
  EXPECT_EQ(last_, std::string(R"({"SecretId":")") + kArn + R"(","VersionStage":"AWSCURRENT"})");
}

TEST_F(StoreTest, SeesANewVersion) {
  SecretStore store(options_, changed(), clock_);
  store.want("shop/a", {{kArn, "", "", ""}});
  ASSERT_TRUE(store.wait("shop/a", 20s));
  say("two");
  EXPECT_TRUE(eventually([&] { return store.state({kArn, "", "", ""}).current->password.reveal() == "two"; }));
  EXPECT_TRUE(owners_.contains("shop/a"));
  EXPECT_EQ(store.totals().changes, 1U);
}

TEST_F(StoreTest, KeepsTheLastValueWhileAwsRefuses) {
  SecretStore store(options_, changed(), clock_);
  store.want("shop/a", {{kArn, "", "", ""}});
  ASSERT_TRUE(store.wait("shop/a", 20s));
  fail(400, "AccessDeniedException");
  EXPECT_TRUE(eventually([&] { return store.state({kArn, "", "", ""}).failure.kind == Kind::kDenied; }));
  EXPECT_EQ(store.state({kArn, "", "", ""}).current->password.reveal(), "one");
  say("one");
  EXPECT_TRUE(eventually([&] { return !store.state({kArn, "", "", ""}).failure; })) << "and is well again";
}

TEST_F(StoreTest, SlowsDownWhenItIsThrottled) {
  fail(400, "ThrottlingException");
  const auto begin = std::chrono::steady_clock::now();
  SecretStore store(options_, changed(), clock_);
  store.want("shop/a", {{kArn, "", "", ""}});
  ASSERT_TRUE(store.wait("shop/a", 20s));
  EXPECT_EQ(store.state({kArn, "", "", ""}).failure.kind, Kind::kThrottled);
  // Another one waits with it, for a second at least: by its poll alone it would be read at once.
  store.want("shop/b", {{std::string(kArn) + "2", "", "", ""}});
  EXPECT_TRUE(store.wait("shop/b", 20s));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 1s);
  EXPECT_GE(calls(), 2);
}

TEST_F(StoreTest, ForgetsWhatNobodyWants) {
  SecretStore store(options_, changed(), clock_);
  store.want("shop/a", {{kArn, "", "", ""}});
  ASSERT_TRUE(store.wait("shop/a", 20s));
  store.want("shop/a", {});
  EXPECT_FALSE(store.state({kArn, "", "", ""}).asked);
}

}  // namespace
}  // namespace dbproxy::aws
