// Target: one cluster member as this sidecar uses it: its pool, its connections, and what was learned by connecting.
//
// One thread. Carries out what the pool decides: opens and closes connections, wakes the clients that get one.
#pragma once

#include <deque>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>

#include "proxy/budget/ledger.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/net/stream.hpp"
#include "proxy/net/tls.hpp"
#include "proxy/pool/pool.hpp"
#include "proxy/worker/context.hpp"
#include "proxy/worker/forward.hpp"
#include "proxy/worker/idle_count.hpp"
#include "proxy/worker/protocol.hpp"
#include "proxy/worker/stats.hpp"

namespace dbproxy::worker {

// The last failed attempt to open a connection for a key, so that it is not repeated at once.
struct OpenFailure {
  TimePoint until{};
  std::string error;             // for clients; empty: keep waiting
  std::uint64_t generation = 0;  // of the credentials that were tried
};

template <class P>
class Target {
 public:
  using Key = typename P::Key;

  Target(ProxyRuntime<P>& proxy, Context& context, const config::Target& description);
  ~Target();

  const config::Target& description() const { return description_; }
  // New facts about it: limits are put in force at once.
  void update(const config::Target& description);
  bool usable() const { return description_.health != config::TargetHealth::kUnavailable; }

  // The connection, attached; or null and the client waits. A refused key answers through `error` instead.
  ServerConnection<P>* acquire(ClientConnection<P>& client, const std::shared_ptr<const Key>& key, std::string& error);
  void cancel(ClientConnection<P>& client);
  // Clients that were brought here, with a connection now or without.
  void client_came() { ++clients_; }
  void client_left() { --clients_; }
  std::uint32_t clients() const { return clients_; }
  // The more, the less another client should be brought here: its clients, and again those that want something now,
  // for each connection that it may have.
  double load() const;
  void release(ServerConnection<P>& server);
  // The connection is logged in and ready.
  void opened(ServerConnection<P>& server);
  // It failed before that. `error`: what clients of this key are told, empty to let them wait for the next attempt.
  void open_failed(ServerConnection<P>& server, config::HealthReason reason, std::string error);
  // It ended after it was ready.
  void lost(ServerConnection<P>& server);
  // Something tells that the server goes, or is not the writer any more. Whoever probes it hears of that, and what is
  // idle is closed: new work waits for a connection that is opened, which shows what the server is now. Where it is no
  // writer any more, nothing that was opened before carries another transaction.
  void suspect(config::HealthReason reason);
  // Another member is the writer: what is still carried out here would be lost, and ends.
  void end_active(std::string_view why);

  void tick();         // four times a second
  void check_peers();  // likewise, where there is no tick() any more: ends connections whose server has vanished
  void close_idle();
  void require_current_credentials();
  // Ends everything; waiting clients are told `error`.
  void shut_down(const std::string& error);
  bool unused() const { return servers_.empty() && pool_.waiting() == 0 && parting_ == 0; }

  // Its own limit, by percent; the pool's is what this sidecar may have of it now.
  std::uint32_t own_limit() const;
  void apply_limit();
  // For the fleet's budget: connections from their beginning until their server has ended them, and clients that wait
  // for more.
  budget::Use use() const;
  void use_is_known(const budget::Use& use) { known_use_ = use; }
  // A quarter of a second has passed.
  void note_idle();
  // Takes over a connection that is closed on this side, and its place in the record.
  void part(net::Stream stream, ConnectionRecord::Place place);

  pool::TargetPool& pool() { return pool_; }
  const pool::TargetPool& pool() const { return pool_; }
  TargetStats& stats() { return stats_; }
  const std::unordered_map<ServerConnection<P>*, std::unique_ptr<ServerConnection<P>>>& servers() const {
    return servers_;
  }
  // Whom the sub-pool is for.
  const std::shared_ptr<const Key>& key_of(const pool::KeyPool& key) const { return by_pool_.at(&key); }
  // It has refused this user's password, and there is one from before.
  bool takes_previous_password(const std::string& user) const { return previous_users_.contains(user); }
  // Why a client of this user waits in vain, where that is because of its credentials; else "".
  const std::string& refusal_of(const std::string& user) const {
    static const std::string kNone;
    const auto found = taken_.find(user);
    return found == taken_.end() ? kNone : found->second.refusal;
  }
  // What its engine has learned about it.
  typename P::TargetSide& side() { return side_; }
  // After which a server that acknowledges nothing counts as vanished: sooner when it is in doubt anyway.
  std::chrono::milliseconds silence() const;
  bool reachable() const { return observed_ == config::HealthReason::kNone; }
  // What using it has shown. AUTH_FAILURE as long as any user's credentials are refused; the others are served.
  config::HealthReason observed_reason() const {
    return refused_users_.empty() ? observed_ : config::HealthReason::kAuthFailure;
  }

 private:
  pool::KeyPool& sub_pool(const std::shared_ptr<const Key>& key);
  void forget_unused_keys();
  void retire_active();
  void perform(pool::Actions& actions);
  void hand_over(pool::Waiter* waiter, ServerConnection<P>& server);
  void forget(ServerConnection<P>& server);
  void observe(config::HealthReason reason, const std::string& user);
  bool try_other_password(ServerConnection<P>& server);
  bool may_hold(const ServerConnection<P>& server, const std::string& error);
  void accepted(const ServerConnection<P>& server);
  std::uint32_t limit() const { return proxy_.slots(*this, own_limit()); }
  pool::Limits limits() const;
  void account();
  // More than it may have, for as long as giveBackTimeoutSeconds: idle transactions end.
  void end_idle_excess();
  bool room_to_connect() const;
  void connect_held_back();

  ProxyRuntime<P>& proxy_;
  Context& context_;
  config::Target description_;
  pool::TargetPool pool_;
  TargetStats stats_;
  std::unordered_map<ServerConnection<P>*, std::unique_ptr<ServerConnection<P>>> servers_;
  std::unordered_map<const Key*, pool::KeyPool*> by_key_;  // entries live as long as their sub-pool
  std::unordered_map<const pool::KeyPool*, std::shared_ptr<const Key>> by_pool_;
  std::unordered_map<pool::KeyPool*, OpenFailure> failures_;
  config::HealthReason observed_ = config::HealthReason::kNone;
  std::set<std::string> refused_users_;
  std::set<std::string> previous_users_;  // who log in with their previous passwords
  // Of each user whose credentials have been taken: since when they are not any more.
  struct Taken {
    TimePoint refused_since{};
    std::string refusal;  // what its clients are told once they have waited for long enough
  };
  std::unordered_map<std::string, Taken> taken_;
  Duration back_off_{};
  typename P::TargetSide side_;
  TimePoint peers_checked_{}, over_since_{};
  IdleCount idle_;
  std::uint32_t clients_ = 0;
  TimePoint suspected_{};  // when last; the hint is good for some time
  std::uint32_t parting_ = 0;
  // Connections that begin when one that parts is gone: their slots are the same.
  std::deque<ServerConnection<P>*> held_back_;
  budget::Use known_use_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace dbproxy::worker
