#include "proxy/control/outbox.hpp"

#include <gtest/gtest.h>

namespace dbproxy::control {
namespace {

worker::ProxyRow row(std::uint32_t clients) {
  worker::ProxyRow out;
  out.proxy = "shop/orders";
  out.clients = clients;
  return out;
}

TEST(Outbox, NewestStatusReplacesAndTheSameIsNotSaidAgain) {
  Outbox outbox;
  outbox.status(row(1));
  outbox.status(row(2));
  const auto first = outbox.take();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->status().clients(), 2u);
  EXPECT_FALSE(outbox.take().has_value());
  outbox.status(row(2));
  EXPECT_TRUE(outbox.empty());
  outbox.status(row(3));
  outbox.status(row(2));  // back before it was told
  EXPECT_TRUE(outbox.empty());
}

TEST(Outbox, OfABudgetOnlyTheNewestIsTold) {
  Outbox outbox;
  budget::Report report{"pod", 1, 2, 3, 1, true, false, {}};
  outbox.status(row(1));
  outbox.budget("shop/orders", report);
  report.number = 2;
  outbox.budget("shop/orders", report);
  EXPECT_TRUE(outbox.has_budget());
  EXPECT_FALSE(outbox.take(false, false).has_value());
  EXPECT_EQ(outbox.take(true, false)->budget_report().number(), 2u);
  EXPECT_FALSE(outbox.has_budget());
  EXPECT_TRUE(outbox.take()->has_status());
  outbox.budget("shop/orders", report);
  outbox.new_stream();
  EXPECT_FALSE(outbox.has_budget());
}

TEST(Outbox, RepliesGoFirstAndInOrder) {
  Outbox outbox;
  outbox.status(row(1));
  for (const char* nonce : {"1", "2"}) {
    v1::ConfigReply reply;
    reply.set_nonce(nonce);
    outbox.reply(reply);
  }
  EXPECT_EQ(outbox.take()->config_reply().nonce(), "1");
  EXPECT_EQ(outbox.take()->config_reply().nonce(), "2");
  EXPECT_TRUE(outbox.take()->has_status());
}

TEST(Outbox, NewStreamHearsTargetsAgainButNoOldReply) {
  Outbox outbox;
  worker::TargetObservation seen{"shop/orders", "a", "app", config::TargetHealth::kUnavailable,
                                 config::HealthReason::kAuthFailure};
  outbox.observation(seen);
  const auto first = outbox.take();
  EXPECT_EQ(first->target_report().reason(), v1::AUTH_FAILURE);
  outbox.observation(seen);
  EXPECT_TRUE(outbox.empty());
  outbox.reply({});
  outbox.new_stream();
  EXPECT_FALSE(outbox.has_reply());
  EXPECT_EQ(outbox.take()->target_report().user(), "app");
}

}  // namespace
}  // namespace dbproxy::control
