// ClientConnection's limits on time: statementTimeout, transactionTimeout and idleInTransactionSessionTimeout.
//
// They cost nothing where there are none. Where there are, one timer stands at the nearest end of any of them; what
// begins later moves it only to an earlier time, and when it fires in vain it is set again: so a query arms no timer.
#pragma once

#include <algorithm>

#include "proxy/base/log.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

// A cancel request that came too early or too late for what it was meant for is repeated.
inline constexpr Duration kCancelAgainAfter = std::chrono::seconds(5);

template <class P>
void ClientConnection<P>::work_began() {
  if (!proxy_.has_time_limits() || server_ == nullptr || !server_->session().asked()) return;
  auto now = context_.loop.now();
  if (statement_since_ == TimePoint{}) statement_since_ = now;
  if (transaction_since_ == TimePoint{}) transaction_since_ = now;
  idle_since_ = {};
  watch_limits();
}

template <class P>
void ClientConnection<P>::work_went_on(bool transaction_ended) {
  if (!proxy_.has_time_limits() || server_ == nullptr) return;
  const auto& session = server_->session();
  auto now = context_.loop.now();
  statement_since_ = session.asked() ? now : TimePoint{};
  if (transaction_ended) transaction_since_ = session.asked() ? now : TimePoint{};
  idle_since_ = session.quiet() && !session.idle() ? now : TimePoint{};
  watch_limits();
}

template <class P>
void ClientConnection<P>::forget_limits() {
  statement_since_ = transaction_since_ = idle_since_ = {};
  own_idle_limit_ = {};
}

// A transaction that no server knows of is idle all the same, and the client's own limit is nobody else's business.
template <class P>
void ClientConnection<P>::watch_deferred() {
  if (!session_->begin_deferred()) return forget_limits();
  if (waiting()) {
    idle_since_ = {};
    return;
  }
  own_idle_limit_ = session_->time_limit("idle_in_transaction_session_timeout");
  idle_since_ = context_.loop.now();
  if (transaction_since_ == TimePoint{}) transaction_since_ = idle_since_;
  watch_limits();
}

template <class P>
std::chrono::milliseconds ClientConnection<P>::idle_limit() const {
  const auto limit = proxy_.snapshot().limits.idle_in_transaction_session_timeout;
  if (own_idle_limit_.count() == 0) return limit;
  return limit.count() == 0 ? own_idle_limit_ : std::min(limit, own_idle_limit_);
}

template <class P>
TimePoint ClientConnection<P>::next_limit() const {
  const auto& limits = proxy_.snapshot().limits;
  auto next = TimePoint::max();
  auto consider = [&](TimePoint from, std::chrono::milliseconds limit) {
    if (from != TimePoint{} && limit.count() > 0) next = std::min(next, from + Duration(limit));
  };
  consider(statement_since_, limits.statement_timeout);
  consider(transaction_since_, limits.transaction_timeout);
  consider(idle_since_, idle_limit());
  return next;
}

template <class P>
void ClientConnection<P>::watch_limits() {
  auto next = next_limit();
  if (next == TimePoint::max() || (limit_timer_.armed() && limit_at_ <= next)) return;
  limit_at_ = next;
  context_.loop.arm(limit_timer_, std::max<Duration>(next - context_.loop.now(), std::chrono::milliseconds(1)));
}

template <class P>
void ClientConnection<P>::on_limit() {
  if (state_ != State::kRunning || (server_ == nullptr && !session_->begin_deferred())) return;
  const auto& limits = proxy_.snapshot().limits;
  auto now = context_.loop.now();
  auto over = [now](TimePoint from, std::chrono::milliseconds limit) {
    return from != TimePoint{} && limit.count() > 0 && now - from >= limit;
  };
  if (over(transaction_since_, limits.transaction_timeout)) {
    return end_over_limit(TimeLimit::kTransaction, Trouble::kTransactionTimeout,
                          "terminating connection due to transaction timeout");
  }
  if (over(idle_since_, idle_limit())) {
    return end_over_limit(TimeLimit::kIdleInTransaction, Trouble::kIdleInTransaction,
                          "terminating connection due to idle-in-transaction timeout");
  }
  if (over(statement_since_, limits.statement_timeout)) {
    count_limit(TimeLimit::kStatement);
    statement_since_ = now - limits.statement_timeout + kCancelAgainAfter;
    server_->cancel_over_limit();
  }
  watch_limits();
}

template <class P>
void ClientConnection<P>::end_over_limit(TimeLimit limit, Trouble trouble, std::string_view message) {
  count_limit(limit);
  // Words in the middle of a row would be taken for a part of it.
  bool may_speak = server_ == nullptr || !server_->session().in_mid_message();
  finish(may_speak ? error(trouble, message) : std::string());
}

template <class P>
bool ClientConnection<P>::idle_in_transaction(Duration time) const {
  if (state_ != State::kRunning || server_ == nullptr) return false;
  const auto& session = server_->session();
  return session.quiet() && !session.idle() && context_.loop.now() - active_at_ >= time;
}

template <class P>
void ClientConnection<P>::end_for_others() {
  end_over_limit(TimeLimit::kGiveBack, Trouble::kIdleInTransaction,
                 "terminating connection: its idle transaction holds a database connection that others wait for");
}

template <class P>
void ClientConnection<P>::count_limit(TimeLimit limit) {
  proxy_.stats().time_limits[static_cast<std::size_t>(limit)]->add();
  log::info("client", "over a limit",
            {{"proxy", proxy_.name()}, {"client", peer_}, {"user", key_->user}, {"limit", to_string(limit)}});
}

template <class P>
void ClientConnection<P>::tell_waiting(const std::string& notice) {
  if (told_waiting_ || state_ != State::kRunning) return;
  told_waiting_ = true;
  channel_.send(notice);  // when that fails, the client's own event says so
}

}  // namespace dbproxy::worker
