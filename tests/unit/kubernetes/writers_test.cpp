#include <gtest/gtest.h>

#include "operator/kubernetes/event_recorder.hpp"
#include "operator/kubernetes/leader_elector.hpp"
#include "operator/kubernetes/objects.hpp"
#include "operator/kubernetes/reviews.hpp"
#include "tests/unit/kubernetes/scripted_server.hpp"

namespace dbproxy::kubernetes {
namespace {

using Peer = ScriptedServer::Peer;
using std::chrono::seconds;

json::object parsed(const std::string& text) {
  return parse_json(text)->as_object();
}
json::object lease(const std::string& holder, const std::string& version, int duration = 15) {
  return parsed(R"({"metadata":{"name":"l","uid":"u","resourceVersion":")" + version +
                R"(","annotations":{"dbproxy.io/address":"10.0.0.1:9931","other":"kept"}},"spec":{"holderIdentity":")" +
                holder + R"(","leaseDurationSeconds":)" + std::to_string(duration) +
                R"(,"renewTime":"1999-01-01T00:00:00.000000Z"}})");
}

TEST(Lease, ExpiresByOwnObservation) {
  ManualClock clock;
  LeaseView view;
  EXPECT_TRUE(view.expired(clock.now()));
  view.observe(lease("a", "1"), clock.now());  // its renewTime is long ago: that means nothing here
  EXPECT_FALSE(view.expired(clock.now()));
  EXPECT_EQ(view.address(), "10.0.0.1:9931");
  clock.advance(seconds(14));
  view.observe(lease("a", "1"), clock.now());  // read again, not renewed
  EXPECT_FALSE(view.expired(clock.now()));
  clock.advance(seconds(1));
  EXPECT_TRUE(view.expired(clock.now()));
  view.observe(lease("a", "2"), clock.now());
  EXPECT_FALSE(view.expired(clock.now()));
  view.observe(lease("", "3"), clock.now());
  EXPECT_TRUE(view.expired(clock.now()));
}

TEST(Lease, IsClaimedAndGivenBack) {
  const LeaseClaim claim{"ns", "l", "me", "10.0.0.2:9931"};
  const json::object first = claimed_lease(claim, nullptr, WallTime{});
  EXPECT_EQ(integer_at(first, {"spec", "leaseTransitions"}), 0);
  EXPECT_EQ(text_at(first, {"spec", "acquireTime"}), "1970-01-01T00:00:00.000000Z");
  const json::object other = lease("a", "7");
  const json::object taken = claimed_lease(claim, &other, WallTime{});
  EXPECT_EQ(text_at(taken, {"metadata", "resourceVersion"}), "7");  // or two could take it
  EXPECT_EQ(text_at(taken, {"metadata", "annotations", "other"}), "kept");
  EXPECT_EQ(text_at(taken, {"metadata", "annotations", kAddressAnnotation}), "10.0.0.2:9931");
  EXPECT_EQ(integer_at(taken, {"spec", "leaseTransitions"}), 1);
  const json::object renewed = claimed_lease(claim, &taken, WallTime{} + seconds(5));
  EXPECT_EQ(integer_at(renewed, {"spec", "leaseTransitions"}), 1);
  EXPECT_EQ(text_at(renewed, {"spec", "renewTime"}), "1970-01-01T00:00:05.000000Z");
  const json::object back = released_lease(renewed, WallTime{});
  EXPECT_EQ(text_at(back, {"spec", "holderIdentity"}), "");
  EXPECT_EQ(integer_at(back, {"spec", "leaseDurationSeconds"}), 1);
}

// The part of an API server that a lease needs.
class LeaseServer {
 public:
  void operator()(const Asked& asked, Peer& peer) {
    const std::lock_guard lock(mutex_);
    if (broken) return peer.close();
    if (asked.has("watch=true") || (asked.method == "GET" && asked.has("?"))) {
      return peer.answer(500, R"({"kind":"Status","code":500})");  // the elector has to do without
    }
    if (asked.method == "GET")
      return held_.empty() ? peer.answer(404, R"({"kind":"Status","code":404})") : answer(peer);
    const json::object sent = parsed(asked.body);
    if (asked.method == "POST" ? !held_.empty() : resource_version_of(sent) != std::to_string(version_)) {
      return peer.answer(409, R"({"kind":"Status","reason":"Conflict","code":409})");
    }
    held_ = sent;
    held_["metadata"].as_object()["resourceVersion"] = std::to_string(++version_);
    answer(peer);
  }
  std::string holder() const {
    const std::lock_guard lock(mutex_);
    return std::string(text_at(held_, {"spec", "holderIdentity"}));
  }
  std::atomic<bool> broken{false};

 private:
  void answer(Peer& peer) { peer.answer(200, json::serialize(held_)); }
  mutable std::mutex mutex_;
  json::object held_;
  int version_ = 0;
};

TEST(LeaderElector, OneLeadsAndAnotherFollows) {
  LeaseServer leases;
  ScriptedServer server([&](const Asked& asked, Peer& peer) { leases(asked, peer); });
  Client client(server.config());
  const SystemClock clock;
  const auto options = [](const std::string& identity) {
    ElectorOptions out;
    out.claim = {"ns", "l", identity, identity + ":1", seconds(1)};
    out.renew_deadline = std::chrono::milliseconds(700);
    out.retry_period = std::chrono::milliseconds(50);
    return out;
  };
  std::vector<bool> changes;
  LeaderElector one(
      client, options("one"), [&](bool leading) { changes.push_back(leading); }, clock);
  LeaderElector two(client, options("two"), nullptr, clock);
  one.start();
  ASSERT_TRUE(eventually([&] { return one.leading(); }));
  two.start();
  ASSERT_TRUE(eventually([&] { return two.leader_address() == "one:1"; }));
  EXPECT_FALSE(two.leading());
  one.stop();  // gives it back
  EXPECT_EQ(changes, (std::vector<bool>{true, false}));
  ASSERT_TRUE(eventually([&] { return two.leading(); }));
  leases.broken = true;  // cannot renew: leads no more, before another could begin
  ASSERT_TRUE(eventually([&] { return !two.leading(); }));
  leases.broken = false;
  ASSERT_TRUE(eventually([&] { return two.leading(); }));
  two.stop();
  EXPECT_EQ(leases.holder(), "");
}

TEST(EventSeries, CountsWhatRepeats) {
  using Kind = EventSeries::Verdict::Kind;
  ManualClock clock;
  EventSeries series;
  EXPECT_EQ(series.seen("x", "o", clock.now()).kind, Kind::kCreate);
  series.created("x", "name");
  const auto second = series.seen("x", "o", clock.now());
  EXPECT_EQ(second.kind, Kind::kUpdate);
  EXPECT_EQ(second.count, 2U);
  EXPECT_EQ(second.name, "name");
  EXPECT_EQ(series.seen("x", "o", clock.now()).kind, Kind::kWait);
  clock.advance(seconds(61));
  EXPECT_EQ(series.seen("x", "o", clock.now()).count, 4U);
  clock.advance(std::chrono::minutes(7));
  EXPECT_EQ(series.seen("x", "o", clock.now()).kind, Kind::kCreate);
}

TEST(EventSeries, WithholdsSpam) {
  using Kind = EventSeries::Verdict::Kind;
  ManualClock clock;
  EventSeries series;
  int created = 0;
  for (int i = 0; i < 100; ++i) created += series.seen(std::to_string(i), "o", clock.now()).kind == Kind::kCreate;
  EXPECT_EQ(created, 25);
  EXPECT_EQ(series.seen("y", "other", clock.now()).kind, Kind::kCreate);
  clock.advance(std::chrono::minutes(5));
  EXPECT_EQ(series.seen("more", "o", clock.now()).kind, Kind::kCreate);
  EXPECT_EQ(series.seen("most", "o", clock.now()).kind, Kind::kWithhold);
  for (int i = 0; i < 20'000; ++i) series.seen(std::to_string(i), std::to_string(i), clock.now());
}

TEST(EventRecorder, CreatesAndThenPatches) {
  ScriptedServer server([](const Asked& asked, Peer& peer) { peer.answer(asked.method == "POST" ? 201 : 200, "{}"); });
  Client client(server.config());
  const SystemClock clock;
  EventRecorder recorder(client, "dbproxy-operator", "pod-1", clock);
  const EventNote note{{"dbproxy.io/v1alpha1", "DBProxy", "shop", "orders", "uid"},
                       true,
                       "FailedOver",
                       "Switch",
                       std::string(2000, 'x')};
  recorder.post(note);
  recorder.post(note);
  ASSERT_TRUE(eventually([&] { return recorder.counts().written == 2; }));
  const auto asked = server.asked();
  EXPECT_EQ(asked[0].target, "/apis/events.k8s.io/v1/namespaces/shop/events");
  const json::object body = parsed(asked[0].body);
  EXPECT_EQ(text_at(body, {"note"}).size(), 1024U);
  EXPECT_EQ(text_at(body, {"regarding", "uid"}), "uid");
  EXPECT_EQ(text_at(body, {"type"}), "Warning");
  EXPECT_EQ(asked[1].method, "PATCH");
  EXPECT_TRUE(asked[1].has("/events/orders."));
  EXPECT_EQ(integer_at(parsed(asked[1].body), {"series", "count"}), 2);
}

// {"alg":"none"}.{"exp":4102444800}.x
const char* const kToken = "eyJhbGciOiJub25lIn0.eyJleHAiOjQxMDI0NDQ4MDB9.eA";

TEST(TokenReviewer, AsksOnceAndReadsThePod) {
  ScriptedServer server([](const Asked& asked, Peer& peer) {
    const bool good = asked.body.find(kToken) != std::string::npos;
    peer.answer(201, good ? R"({"status":{"authenticated":true,"audiences":["dbproxy-operator"],"user":{
      "username":"system:serviceaccount:shop:app","groups":["g"],"extra":{
      "authentication.kubernetes.io/pod-name":["web-1"],"authentication.kubernetes.io/pod-uid":["u-1"]}}}})"
                          : R"({"status":{"error":"no such token"}})");
  });
  Client client(server.config());
  ManualClock clock;
  ReviewOptions options;
  options.audience = "dbproxy-operator";
  options.burst = 3;
  options.per_second = 0;
  TokenReviewer reviewer(client, options, clock);
  for (int i = 0; i < 10; ++i) {
    const auto identity = reviewer.review(Secret(kToken));
    ASSERT_TRUE(identity.has_value());
    EXPECT_TRUE(identity->authenticated);
    EXPECT_EQ(identity->name_space(), "shop");
    EXPECT_EQ(identity->pod_name, "web-1");
    EXPECT_EQ(identity->pod_uid, "u-1");
  }
  EXPECT_EQ(server.asked().size(), 1U);
  EXPECT_FALSE(reviewer.review(Secret("wrong"))->authenticated);
  EXPECT_FALSE(reviewer.review(Secret("wrong"))->authenticated);
  EXPECT_EQ(server.asked().size(), 2U);
  EXPECT_TRUE(reviewer.review(Secret("another")).has_value());
  EXPECT_TRUE(reviewer.review(Secret("one too many")).error().status(429));
  EXPECT_FALSE(reviewer.review(Secret())->authenticated);
}

TEST(TokenReviewer, RefusesATokenForAnotherAudience) {
  ScriptedServer server([](const Asked&, Peer& peer) {
    peer.answer(201, R"({"status":{"authenticated":true,"user":{"username":"system:serviceaccount:shop:app"}}})");
  });
  Client client(server.config());
  ManualClock clock;
  ReviewOptions options;
  options.audience = "dbproxy-operator";
  TokenReviewer reviewer(client, options, clock);
  EXPECT_FALSE(reviewer.review(Secret(kToken))->authenticated);
}

TEST(Reviews, ReadTheExpiryOfAToken) {
  EXPECT_EQ(token_expiry(kToken), 4'102'444'800);
  for (const char* bad : {"", "a", "a.b", "a.b.c", "a.!.c", "..", "a.e30.c"}) EXPECT_EQ(token_expiry(bad), 0) << bad;
}

TEST(Reviews, AskForAccessAndTokens) {
  ScriptedServer server([](const Asked& asked, Peer& peer) {
    peer.answer(201, asked.has("token") ? R"({"status":{"token":"t"},"spec":{"expirationSeconds":600}})"
                                        : R"({"status":{"allowed":true}})");
  });
  Client client(server.config());
  EXPECT_TRUE(*may(client, {"u", {"g"}, "get", "dbproxy.io", "dbproxies", "shop", "orders"}));
  EXPECT_EQ(request_token(client, "shop", "app", "sts.amazonaws.com", seconds(900))->seconds, 600);
  EXPECT_EQ(server.asked()[1].target, "/api/v1/namespaces/shop/serviceaccounts/app/token");
}

}  // namespace
}  // namespace dbproxy::kubernetes
