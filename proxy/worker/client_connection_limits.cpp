// ClientConnection's limits on time: statementTimeout, transactionTimeout and idleInTransactionSessionTimeout.
//
// They cost nothing where there are none. Where there are, one timer stands at the nearest end of any of them; what
// begins later moves it only to an earlier time, and when it fires in vain it is set again: so a query arms no timer.
#include <algorithm>

#include "proxy/base/log.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/client_error.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker {

namespace {

// A cancel request that came too early or too late for what it was meant for is repeated.
constexpr Duration kCancelAgainAfter = std::chrono::seconds(5);

}  // namespace

void ClientConnection::work_began() {
  if (!proxy_.has_time_limits() || server_ == nullptr || !server_->session().asked()) return;
  auto now = context_.loop.now();
  if (statement_since_ == TimePoint{}) statement_since_ = now;
  if (transaction_since_ == TimePoint{}) transaction_since_ = now;
  idle_since_ = {};
  watch_limits();
}

void ClientConnection::work_went_on(bool transaction_ended) {
  if (!proxy_.has_time_limits() || server_ == nullptr) return;
  const auto& session = server_->session();
  auto now = context_.loop.now();
  statement_since_ = session.asked() ? now : TimePoint{};
  if (transaction_ended) transaction_since_ = session.asked() ? now : TimePoint{};
  idle_since_ = session.quiet() && session.transaction_status() != 'I' ? now : TimePoint{};
  watch_limits();
}

void ClientConnection::forget_limits() {
  statement_since_ = transaction_since_ = idle_since_ = {};
  own_idle_limit_ = {};
}

// A transaction that no server knows of is idle all the same, and the client's own limit is nobody else's business.
void ClientConnection::watch_deferred() {
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

std::chrono::milliseconds ClientConnection::idle_limit() const {
  const auto limit = proxy_.snapshot().limits.idle_in_transaction_session_timeout;
  if (own_idle_limit_.count() == 0) return limit;
  return limit.count() == 0 ? own_idle_limit_ : std::min(limit, own_idle_limit_);
}

TimePoint ClientConnection::next_limit() const {
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

void ClientConnection::watch_limits() {
  auto next = next_limit();
  if (next == TimePoint::max() || (limit_timer_.armed() && limit_at_ <= next)) return;
  limit_at_ = next;
  context_.loop.arm(limit_timer_, std::max<Duration>(next - context_.loop.now(), std::chrono::milliseconds(1)));
}

void ClientConnection::on_limit() {
  if (state_ != State::kRunning || (server_ == nullptr && !session_->begin_deferred())) return;
  const auto& limits = proxy_.snapshot().limits;
  auto now = context_.loop.now();
  auto over = [now](TimePoint from, std::chrono::milliseconds limit) {
    return from != TimePoint{} && limit.count() > 0 && now - from >= limit;
  };
  if (over(transaction_since_, limits.transaction_timeout)) {
    return end_over_limit(TimeLimit::kTransaction, "25P04", "terminating connection due to transaction timeout");
  }
  if (over(idle_since_, idle_limit())) {
    return end_over_limit(TimeLimit::kIdleInTransaction, "25P03",
                          "terminating connection due to idle-in-transaction timeout");
  }
  if (over(statement_since_, limits.statement_timeout)) {
    count_limit(TimeLimit::kStatement);
    statement_since_ = now - limits.statement_timeout + kCancelAgainAfter;
    server_->cancel_over_limit();
  }
  watch_limits();
}

void ClientConnection::end_over_limit(TimeLimit limit, std::string_view sqlstate, std::string_view message) {
  count_limit(limit);
  // Words in the middle of a row would be taken for a part of it.
  bool may_speak = server_ == nullptr || !server_->session().in_mid_message();
  finish(may_speak ? client_error("FATAL", sqlstate, message) : std::string());
}

void ClientConnection::count_limit(TimeLimit limit) {
  proxy_.stats().time_limits[static_cast<std::size_t>(limit)]->add();
  log::info("client", "over a limit",
            {{"proxy", proxy_.name()}, {"client", peer_}, {"user", key_->user}, {"limit", to_string(limit)}});
}

void ClientConnection::tell_waiting(const std::string& notice) {
  if (told_waiting_ || state_ != State::kRunning) return;
  told_waiting_ = true;
  channel_.send(notice);  // when that fails, the client's own event says so
}

}  // namespace dbproxy::worker
