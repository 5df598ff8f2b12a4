#include "operator/control/session.hpp"

#include <gtest/gtest.h>

#include "operator/control/token_bucket.hpp"

namespace dbproxy::operator_control {
namespace {

PublishedPtr content(std::uint64_t version) {
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->version = version;
  return std::make_shared<const Published>(Published{snapshot, "digest" + std::to_string(version)});
}

v1::ConfigReply answer(const Push& push, const std::string& error = {}) {
  v1::ConfigReply reply;
  reply.set_proxy(push.proxy);
  reply.set_nonce(push.nonce);
  reply.set_version(push.content && error.empty() ? push.content->snapshot->version : 0);
  reply.set_error(error);
  return reply;
}

TEST(Session, SendsOnceAndTracksTheAnswer) {
  Session session;
  EXPECT_EQ(session.begin({}, {}), "");
  EXPECT_FALSE(session.next().has_value());
  session.publish("a/b", content(1));
  const auto push = session.next();
  ASSERT_TRUE(push.has_value());
  EXPECT_EQ(push->content->snapshot->version, 1u);
  EXPECT_FALSE(session.next().has_value());
  EXPECT_EQ(session.rows().at(0).state, SidecarState::kPending);
  EXPECT_EQ(session.reply(answer(*push)), Session::Answer::kAck);
  EXPECT_EQ(session.rows().at(0).state, SidecarState::kUpdated);
  EXPECT_EQ(session.rows().at(0).version_in_force, 1u);
  EXPECT_EQ(session.reply(answer(*push)), Session::Answer::kStale);
  session.publish("a/b", content(1));
  EXPECT_FALSE(session.next().has_value());
}

TEST(Session, WhatChangesWhileUnansweredGoesAsOne) {
  Session session;
  session.begin({}, {});
  session.publish("a/b", content(1));
  const auto first = session.next();
  session.publish("a/b", content(2));
  session.publish("a/b", content(3));
  EXPECT_FALSE(session.next().has_value());
  session.reply(answer(*first));
  const auto second = session.next();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->content->snapshot->version, 3u);
  EXPECT_NE(second->nonce, first->nonce);
}

TEST(Session, RefusedIsNotSentAgainUntilItChanges) {
  Session session;
  session.begin({}, {});
  session.publish("a/b", content(1));
  session.reply(answer(*session.next(), "port in\nuse"));
  EXPECT_EQ(session.rows().at(0).state, SidecarState::kRejected);
  EXPECT_EQ(session.rows().at(0).error, "port in use");
  EXPECT_FALSE(session.next().has_value());
  session.publish("a/b", content(2));
  session.reply(answer(*session.next()));
  EXPECT_EQ(session.rows().at(0).state, SidecarState::kUpdated);
  EXPECT_EQ(session.rows().at(0).error, "");
}

TEST(Session, HeldDigestIsNotSentAndHeldOrphanIsRemoved) {
  v1::Hello hello;
  for (const char* name : {"a/b", "a/gone"}) {
    v1::HeldConfig* held = hello.add_held();
    held->set_proxy(name);
    held->set_version(9);
    held->set_digest("digest1");
  }
  Session session;
  session.begin(hello, {});
  session.publish_all({{"a/b", content(1)}});
  const auto push = session.next();
  ASSERT_TRUE(push.has_value());
  EXPECT_EQ(push->proxy, "a/gone");
  EXPECT_EQ(push->content, nullptr);
  EXPECT_FALSE(session.next().has_value());
  session.reply(answer(*push));
  ASSERT_EQ(session.rows().size(), 1u);
  EXPECT_EQ(session.rows()[0].state, SidecarState::kUpdated);
  session.refresh();
  EXPECT_FALSE(session.behind()) << "what is in force is what was published";
  const std::optional<Push> again = session.next();
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->proxy, "a/b");
  session.refresh();  // while that is under way: it may carry the certificate of before
  EXPECT_FALSE(session.next().has_value());
  session.reply(answer(*again));
  EXPECT_TRUE(session.next().has_value());
}

TEST(Session, SendsWhatIsHeldOnceMoreWhereItsCertificateIsOfAnotherCa) {
  v1::Hello hello;
  v1::HeldConfig* held = hello.add_held();
  held->set_proxy("a/b");
  held->set_version(8);
  held->set_digest(content(8)->digest);
  for (const bool renew : {false, true}) {
    Session session;
    session.begin(hello, {}, {}, renew);
    session.publish_all({{"a/b", content(8)}});
    EXPECT_EQ(session.next().has_value(), renew);
  }
  Session gone;  // and that it is gone is told, as ever
  gone.begin(hello, {}, {}, true);
  gone.publish_all({});
  gone.publish("a/b", nullptr);
  const std::optional<Push> push = gone.next();
  ASSERT_TRUE(push.has_value());
  EXPECT_EQ(push->content, nullptr);
}

TEST(Session, LeavesAloneWhatNobodyKnowsNow) {
  Session session;
  v1::Hello hello;
  v1::HeldConfig* held = hello.add_held();
  held->set_proxy("a/b");
  held->set_version(7);
  held->set_digest("digest7");
  session.begin(hello, {});
  session.publish_all({{"a/b", std::make_shared<const Published>()}});
  EXPECT_FALSE(session.next().has_value());
  EXPECT_EQ(session.rows().at(0).state, SidecarState::kPending);
  EXPECT_EQ(session.rows().at(0).version_in_force, 7u);
  session.publish("a/b", content(8));
  EXPECT_TRUE(session.next().has_value());
}

TEST(Session, OnlyWhatIsAskedForAndAllowed) {
  v1::Hello hello;
  hello.add_proxies("a/b");
  Session session;
  EXPECT_EQ(session.begin(hello, {"a/b"}), "");
  session.publish("a/c", content(1));
  EXPECT_FALSE(session.next().has_value());
  EXPECT_EQ(session.rows().size(), 1u);  // asked for, does not exist
  EXPECT_EQ(session.rows()[0].state, SidecarState::kPending);

  EXPECT_EQ(Session().begin(hello, {"a/other"}), "a/b");
  Session all;
  all.begin({}, {"a/b"});
  EXPECT_TRUE(all.wants("a/b"));
  EXPECT_FALSE(all.wants("a/c"));
}

TEST(TokenBucket, LetsABurstThroughAndThenItsRate) {
  ManualClock clock;
  TokenBucket bucket(10, 2, clock.now());
  EXPECT_TRUE(bucket.take(clock.now()));
  EXPECT_TRUE(bucket.take(clock.now()));
  EXPECT_FALSE(bucket.take(clock.now()));
  clock.advance(std::chrono::milliseconds(100));
  EXPECT_TRUE(bucket.take(clock.now()));
  EXPECT_FALSE(bucket.take(clock.now()));
}

}  // namespace
}  // namespace dbproxy::operator_control
