#include "operator/kubernetes_mode/pod_tokens.hpp"

#include <future>
#include <gtest/gtest.h>

#include "tests/unit/kubernetes/scripted_server.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

using kubernetes::Asked;
using operator_control::Verdict;
using Kind = Verdict::Kind;
using Peer = kubernetes::ScriptedServer::Peer;

// {"alg":"none"}.{"exp":90000}.x; the manual clock begins at 86400.
const char* const kToken = "eyJhbGciOiJub25lIn0.eyJleHAiOjkwMDAwfQ.eA";

class PodTokensTest : public testing::Test {
 protected:
  PodTokensTest()
      : server_([this](const Asked& asked, Peer& peer) { answer(asked, peer); }),
        client_(server_.config()),
        pods_(client_, {{"", "v1", "pods"}, {}, {}, {}, false, {}}, nullptr),
        tokens_(
            client_, pods_,
            [this](const std::string& proxy) {
              const std::lock_guard lock(mutex_);
              const auto found = selectors_.find(proxy);
              return found == selectors_.end() ? PodTokens::Selector{} : found->second;
            },
            [this](const PodFacts& pod, const std::string& reason) {
              const std::lock_guard lock(mutex_);
              refused_.push_back(pod.key() + ": " + reason);
            },
            clock_) {}

  void answer(const Asked& asked, Peer& peer) {
    const std::lock_guard lock(mutex_);
    if (down_) return peer.answer(500, "");
    if (asked.method == "GET") {
      return pod_.empty() ? peer.answer(404, R"({"kind":"Status","code":404})") : peer.answer(200, pod_);
    }
    if (asked.body.find(kToken) == std::string::npos) return peer.answer(201, R"({"status":{}})");
    peer.answer(201, R"({"status":{"authenticated":true,"audiences":["dbproxy-operator"],"user":{
      "username":"system:serviceaccount:shop:app","extra":{)" +
                         extra_ + "}}}}");
  }
  static std::string pod(const std::string& uid, const std::string& args, const std::string& more = "") {
    return R"({"metadata":{"namespace":"shop","name":"web-1","uid":")" + uid + R"(","labels":{"app":"x"})" + more +
           R"(},"spec":{"initContainers":[{"name":"dbproxy","args":[)" + args + R"(]}]},"status":{"phase":"Running"}})";
  }
  void set_pod(const std::string& text) {
    const std::lock_guard lock(mutex_);
    pod_ = text;
  }
  Verdict check(const std::string& token = kToken, const std::string& identity = "shop/web-1") {
    std::promise<Verdict> promise;
    tokens_.check(Secret(token), identity, [&](Verdict verdict) { promise.set_value(std::move(verdict)); });
    return promise.get_future().get();
  }
  bool still_good() { return tokens_.still_good(Secret(kToken), "shop/web-1"); }

  std::mutex mutex_;
  bool down_ = false;
  std::string extra_ =
      R"("authentication.kubernetes.io/pod-name":["web-1"],"authentication.kubernetes.io/pod-uid":["u"])";
  std::string pod_ = pod("u", R"("--proxy","shop/orders")");
  std::map<std::string, PodTokens::Selector> selectors_;
  std::vector<std::string> refused_;
  ManualClock clock_;
  kubernetes::ScriptedServer server_;
  kubernetes::Client client_;
  kubernetes::Reflector pods_;  // not started: every pod is read live
  PodTokens tokens_;
};

TEST_F(PodTokensTest, LetsABoundPodInUntilItsTokenEnds) {
  EXPECT_FALSE(still_good());
  const Verdict verdict = check();
  EXPECT_EQ(verdict.kind, Kind::kGood);
  EXPECT_EQ(verdict.proxies, std::vector<std::string>{"shop/orders"});
  EXPECT_TRUE(still_good());
  EXPECT_FALSE(tokens_.still_good(Secret(kToken), "shop/web-2"));
  clock_.advance(std::chrono::seconds(3599));
  EXPECT_TRUE(still_good());
  clock_.advance(std::chrono::seconds(1));
  EXPECT_FALSE(still_good());
}

TEST_F(PodTokensTest, RefusesInWords) {
  EXPECT_EQ(check("wrong").kind, Kind::kUnknownToken);
  EXPECT_EQ(check(kToken, "shop/web-2").kind, Kind::kOtherIdentity);
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "the pod is gone"},
      {pod("other", R"("--proxy=shop/orders")"), "an earlier pod of that name"},
      {pod("u", R"("--proxy=shop/orders")", R"(,"deletionTimestamp":"2026-01-01T00:00:00Z")"), "the pod is ending"},
      {R"({"metadata":{"namespace":"shop","name":"web-1","uid":"u"},"spec":{"containers":[{"name":"app"}]}})",
       "no container named dbproxy"},
      {pod("u", ""), "names no DBProxy"},
      {pod("u", R"("--proxy=bank/orders")"), "of another namespace"},
      {pod("u", R"("--proxy=shop")"), "of another namespace"},
  };
  for (const auto& [text, words] : cases) {
    set_pod(text);
    const Verdict verdict = check();
    EXPECT_EQ(verdict.kind, Kind::kRefused) << words;
    EXPECT_NE(verdict.message.find(words), std::string::npos) << verdict.message;
  }
  EXPECT_EQ(tokens_.refused(), cases.size());
  EXPECT_EQ(refused_.size(), cases.size());
}

TEST_F(PodTokensTest, RefusesATokenThatIsNotAPods) {
  extra_.clear();
  EXPECT_EQ(check().kind, Kind::kRefused);
}

TEST_F(PodTokensTest, AsksEachSelector) {
  manifest::PodSelector selector;
  selector.match_labels = {{"app", "x"}};
  selectors_["shop/orders"] = {true, selector};
  EXPECT_EQ(check().kind, Kind::kGood);
  selector.match_labels = {{"app", "y"}};
  {
    const std::lock_guard lock(mutex_);
    selectors_["shop/orders"] = {true, selector};
  }
  EXPECT_FALSE(still_good());
  EXPECT_EQ(check().kind, Kind::kRefused);
  {
    const std::lock_guard lock(mutex_);
    selectors_["shop/orders"] = {true, std::nullopt};  // broken: admits nobody
  }
  EXPECT_EQ(check().kind, Kind::kRefused);
}

// One DBProxy that does not admit the pod takes the others nothing.
TEST_F(PodTokensTest, ServesThoseThatAdmitThePod) {
  manifest::PodSelector selector;
  selector.match_labels = {{"app", "y"}};
  selectors_["shop/billing"] = {true, selector};
  set_pod(pod("u", R"("--proxy=shop/orders","--proxy=shop/billing")"));
  const Verdict verdict = check();
  EXPECT_EQ(verdict.kind, Kind::kGood);
  EXPECT_EQ(verdict.proxies, std::vector<std::string>{"shop/orders"});
  EXPECT_EQ(verdict.withheld, std::vector<std::string>{"shop/billing"});
  EXPECT_EQ(tokens_.refused(), 1u);
  ASSERT_EQ(refused_.size(), 1u);
  EXPECT_NE(refused_[0].find("shop/billing does not admit the pod"), std::string::npos);
  EXPECT_TRUE(still_good());
  {
    const std::lock_guard lock(mutex_);
    selector.match_labels = {{"app", "x"}};
    selectors_["shop/billing"] = {true, selector};
  }
  EXPECT_FALSE(still_good());  // so that it connects again and gets both
  EXPECT_EQ(check().proxies, (std::vector<std::string>{"shop/orders", "shop/billing"}));
}

TEST_F(PodTokensTest, CannotTellWhileTheServerIsAway) {
  {
    const std::lock_guard lock(mutex_);
    down_ = true;
  }
  EXPECT_EQ(check().kind, Kind::kLater);
}

TEST_F(PodTokensTest, TellsWhoReachesTooFar) {
  check();
  tokens_.overreached(Secret(kToken), "shop/web-1", "shop/payroll");
  tokens_.overreached(Secret("other"), "shop/web-1", "shop/payroll");
  ASSERT_EQ(refused_.size(), 1U);
  EXPECT_NE(refused_[0].find("shop/web-1: the pod's sidecar asks for the DBProxy shop/payroll"), std::string::npos);
}

}  // namespace
}  // namespace dbproxy::kubernetes_mode
