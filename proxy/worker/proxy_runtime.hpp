// ProxyRuntime: one DBProxy in force on a worker: its endpoints, users, targets and clients.
//
// Everything a connection asks about configuration goes through here, so that a new snapshot is one exchange. One
// thread.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "proxy/config/snapshot.hpp"
#include "proxy/net/address_policy.hpp"
#include "proxy/net/listener.hpp"
#include "proxy/worker/budget_side.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/context.hpp"
#include "proxy/worker/engine.hpp"
#include "proxy/worker/left_behind.hpp"
#include "proxy/worker/stats.hpp"
#include "proxy/worker/target.hpp"

namespace dbproxy::worker {

inline constexpr std::string_view kDeletedHint =
    "Apply the DBProxy again, or give the application the database's own address and restart its pods without the "
    "label "
    "dbproxy.io/inject.";
inline constexpr Duration kLookForKeys = std::chrono::seconds(30);  // again, while there are none

template <class P>
class ProxyRuntime final : public Runtime {
 public:
  using Key = typename P::Key;

  ProxyRuntime(Context& context, metrics::Registry& registry, Prepared prepared, ObservationSink& observation_sink,
               typename P::Shared& shared);
  ~ProxyRuntime() override;

  std::string apply(Prepared prepared) override;
  bool listening() const override { return !endpoints_.empty(); }

  const config::Snapshot& snapshot() const { return *prepared_.snapshot; }
  std::string name() const { return snapshot().name_space + "/" + snapshot().name; }
  // What clients are shown when they ask for TLS. Null: they get none, either because there is no certificate, or
  // because the way on to the database would be plain: it is never less encrypted than theirs.
  const net::SslContext& listener_tls() const { return offered_tls_; }
  const net::SslContext& server_tls() const { return prepared_.server_tls; }
  const net::AddressPolicy& address_policy() const { return prepared_.address_policy; }
  Stats& stats() { return stats_; }
  metrics::Registry& registry() { return registry_; }
  bool debug_logging() const { return debug_logging_; }
  bool has_time_limits() const { return has_time_limits_; }
  // By people's order: new transactions wait, and their borrow time-out stands still.
  bool paused() const { return paused_until_ != TimePoint{}; }
  Context& context() { return context_; }
  // What all runtimes of this engine share, and what only this engine keeps for a DBProxy.
  typename P::Shared& shared() { return shared_; }
  typename P::ProxySide& side() { return side_; }
  const std::shared_ptr<const void>& keys() const { return prepared_.keys; }
  const config::SnapshotPtr& snapshot_ptr() const { return prepared_.snapshot; }
  bool full() const { return clients_.size() >= snapshot().max_clients; }
  // What whoever still comes is told; empty: it is served.
  std::string deleted() const { return deleted_ ? "DBProxy " + name() + " was deleted" : std::string(); }

  // For a client that needs a server connection: `current` as long as it serves, else a new choice, which may be one
  // that is waited for. Null: nobody is to be waited for, as `error` says.
  Target<P>* choose(const EndpointRuntime& endpoint, Target<P>* current, std::string& error);
  // Nobody knows how it is: those who wait there go to another that serves as well.
  void in_doubt(Target<P>& target);
  // The one key of this text; `make` makes it where there is none yet.
  template <class Make>
  const std::shared_ptr<const Key>& pool_key(const std::string& text, Make make) {
    auto& slot = keys_[text];
    if (!slot) slot = std::make_shared<const Key>(make());
    return slot;
  }
  // Counts up whenever this user's credential changes: connections opened before are not reused.
  std::uint64_t generation(const std::string& user) const;

  // The fleet's connection budget. How many of the target's own limit it may have now, and what its use of them has
  // become: that is looked at when this round of events is over.
  bool leased() const { return budget_.leased(); }
  std::uint32_t slots(const Target<P>& target, std::uint32_t limit) const;
  void use_changed() { context_.loop.defer(settling_); }
  // The list of what is open, for a successor; null: none is kept.
  ConnectionRecord* record() { return record_.get(); }
  void take(const budget::Open& open) override;
  void take(const budget::Allowance& allowance) override;
  void count_alone() override;
  void operator_is_away() override { budget_.unheard(); }
  bool has_slots() const override { return budget_.has_slots() || snapshot().pool.floor == 0; }
  bool leave_budget() override;

  void client_gone(ClientConnection<P>& client);
  // A flood of bad log-ins is counted in full, but at most ten a second are logged.
  bool may_log_refusal();
  void passed_on_cancel() { stats_.cancels->add(); }
  void observed(const Target<P>& target, config::HealthReason reason, const std::string& user);
  // What a client is told that has waited for too long for `target`.
  std::string borrow_timeout_error(const Target<P>& target) const;

  void tick() override;
  void drain(bool end_now) override;
  void remove() override;
  void give_way(const config::Snapshot& other) override;
  bool empty() const override { return clients_.empty(); }

  const std::map<std::string, std::unique_ptr<Target<P>>>& targets() const { return targets_; }
  const std::unordered_map<ClientConnection<P>*, std::unique_ptr<ClientConnection<P>>>& clients() const {
    return clients_;
  }
  ProxyRow row() const override;
  void add_rows(std::vector<TargetRow>& rows) const override;
  void add_rows(std::vector<PoolRow>& rows) const override;
  void add_rows(std::vector<PinRow>& rows) const override;

 private:
  using Endpoints = std::vector<std::shared_ptr<EndpointRuntime>>;
  std::string open_endpoints(const config::Snapshot& snapshot, Endpoints& opened);
  std::string open_endpoint(const std::shared_ptr<EndpointRuntime>& runtime);
  void close_endpoints(const Endpoints& but);
  void accept(const std::shared_ptr<EndpointRuntime>& endpoint, int fd, bool unix_socket);
  void apply_targets();
  void apply_users(const config::Snapshot& before);
  // A copy: whatever is done to a client may end it.
  std::vector<ClientConnection<P>*> client_list() const;
  void retire_clients(std::string_view message);
  void apply_debug_logging();
  void apply_maintenance();
  void end_pause(std::string_view why);
  void apply_tls();
  // Clients that only this process's own keys of AWS let in: says so where there are none.
  void look_for_keys();
  void tell_waiting(Target<P>& target);
  Target<P>* choose_writer(Target<P>* current);
  Target<P>* choose_reader(const config::Endpoint& endpoint, Target<P>* current);
  // Those who wait for a target where another is better choose again.
  void choose_again(pool::TargetPool& waiting);
  void balance_readers();
  void update_gauges();
  BudgetSide::Uses uses();
  void settle_budget();
  void tell_budget();

  class Settling final : public net::Deferred {
   public:
    explicit Settling(ProxyRuntime& proxy) : proxy_(proxy) {}
    void on_deferred() override { proxy_.settle_budget(); }

   private:
    ProxyRuntime& proxy_;
  };

  Context& context_;
  metrics::Registry& registry_;
  Prepared prepared_;
  net::SslContext offered_tls_;
  ObservationSink& observation_sink_;
  typename P::Shared& shared_;
  Stats stats_;
  Endpoints endpoints_;
  std::map<std::string, std::unique_ptr<Target<P>>> targets_;
  std::unique_ptr<Target<P>> nobody_;                // where clients wait for a writer while no member is known as one
  std::vector<std::unique_ptr<Target<P>>> leaving_;  // no longer configured, until their connections are done
  std::unordered_map<ClientConnection<P>*, std::unique_ptr<ClientConnection<P>>> clients_;
  std::unordered_map<std::string, std::shared_ptr<const Key>> keys_;
  typename P::ProxySide side_;
  const std::shared_ptr<ConnectionRecord> record_;
  BudgetSide budget_;
  LeftBehind<P> left_behind_;
  Settling settling_{*this};
  std::unordered_map<std::string, std::uint64_t> generations_;
  bool debug_logging_ = false;
  bool has_time_limits_ = false;
  bool ending_ = false;   // no new clients
  bool deleted_ = false;  // new ones are told so
  TimePoint paused_until_{};
  std::uint64_t pause_seen_ = 0, reconnect_seen_ = 0;
  TimePoint refusals_since_{};
  int refusals_logged_ = 0;
  TimePoint debug_until_{};
  std::string trouble_;  // see ProxyRow
  TimePoint keys_looked_for_{};
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

}  // namespace dbproxy::worker
