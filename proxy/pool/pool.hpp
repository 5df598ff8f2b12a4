// TargetPool: all server connections to one cluster member, under one limit, in sub-pools by key (user, database,
// start-up settings); keys of one user, and those of one database, may have a limit together.
//
// Policy only: events in, actions out; it never touches a socket and never asks the time. A released connection goes
// straight to the first waiter of its key. When the limit is reached, an idle connection of another key makes room, and
// a busy key gives one up when another key's oldest waiter has waited clearly longer than its own. Waiters are served
// in order of arrival within their key.
//
// Server and Waiter objects are owned by the caller and must outlive their membership. One thread.
#pragma once

#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "proxy/base/clock.hpp"

namespace dbproxy::pool {

class TargetPool;
struct KeyPool;

namespace hooks {
using Member = boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
}

// A server connection as the pool sees it. kNone: not in any pool.
struct Server {
  enum class State { kNone, kConnecting, kActive, kIdle };
  State state = State::kNone;
  KeyPool* key = nullptr;
  TimePoint idle_since{};
  std::uint64_t generation = 0;  // of the configuration that it was opened under
  hooks::Member hook;
};

// A client that wants a server connection.
struct Waiter {
  KeyPool* key = nullptr;  // set while it waits
  TimePoint since{};
  hooks::Member key_hook;
  hooks::Member all_hook;
  bool waiting() const { return all_hook.is_linked(); }
};

template <class T, hooks::Member T::*Hook>
using List = boost::intrusive::list<T, boost::intrusive::member_hook<T, hooks::Member, Hook>,
                                    boost::intrusive::constant_time_size<false>>;

// Keys that have something in common, the user or the database, and so a limit together.
struct Group {
  std::uint32_t open = 0;  // connections, those that are being opened included
  std::uint32_t keys = 0;
};

struct KeyPool {
  TargetPool* target = nullptr;
  std::string key;
  Group* user = nullptr;
  Group* database = nullptr;
  hooks::Member waiting_hook;        // linked while anybody waits
  List<Server, &Server::hook> idle;  // most recently used first
  List<Waiter, &Waiter::key_hook> waiters;
  std::uint32_t idle_count = 0;
  std::uint32_t active_count = 0;
  std::uint32_t connecting_count = 0;
  std::uint32_t waiting_count = 0;
  bool opening_suspended = false;  // after a failed attempt, until resume()
  std::uint32_t open_count() const { return idle_count + active_count + connecting_count; }
};

struct Limits {
  std::uint32_t max_connections = 0;  // 0: nothing may be opened
  std::uint32_t max_idle = 0;
  std::uint32_t max_per_user = 0;      // 0: no limit
  std::uint32_t max_per_database = 0;  // likewise
  std::uint32_t max_connecting = 16;   // at once: a storm of log-ins hurts the server more than a short wait
};

// How long an idle connection beyond max_idle is kept, and by how much another key's waiter must have waited longer
// before a busy key gives up a connection for it.
inline constexpr Duration kIdleGrace = std::chrono::seconds(30);
inline constexpr Duration kUnfairness = std::chrono::milliseconds(50);

// What the caller has to do now. `open`: begin a connection for that key (already counted as connecting: answer with
// opened() or open_failed()). `close`: end that connection (already forgotten by the pool).
struct Actions {
  std::vector<KeyPool*> open;
  std::vector<Server*> close;
  bool empty() const { return open.empty() && close.empty(); }
  void clear() {
    open.clear();
    close.clear();
  }
};

class TargetPool {
 public:
  explicit TargetPool(Limits limits) : limits_(limits) {}
  TargetPool(const TargetPool&) = delete;
  TargetPool& operator=(const TargetPool&) = delete;

  // Made on first use; erased by sweep() when nothing is left in it.
  KeyPool& key(const std::string& key, const std::string& user = {}, const std::string& database = {});
  void set_limits(Limits limits, Actions& actions);
  const Limits& limits() const { return limits_; }
  // Connections of older generations are closed as they come back, idle ones at once.
  void require_generation(const std::function<std::uint64_t(const KeyPool&)>& needed, Actions& actions);

  // An idle connection, now active; or null, and the waiter is queued.
  Server* acquire(KeyPool& key, Waiter& waiter, TimePoint now, Actions& actions);
  void cancel(Waiter& waiter);

  // The connection that was being opened is ready: the waiter that gets it (removed from the queue; the connection is
  // active), or null and it is idle.
  Waiter* opened(KeyPool& key, Server& server, TimePoint now, Actions& actions);
  void open_failed(KeyPool& key, Actions& actions);
  // After a failed attempt no other is made for this key until the caller says so.
  void suspend(KeyPool& key) { key.opening_suspended = true; }
  void resume(KeyPool& key, Actions& actions);

  // The connection is clean and free. As for opened(); it may instead be named in actions.close.
  Waiter* release(Server& server, TimePoint now, Actions& actions);
  // The connection is gone, in whatever state it was.
  void closed(Server& server, Actions& actions);

  // Idle connections beyond max_idle that have been so for long; forgets keys that nobody uses.
  void sweep(TimePoint now, Actions& actions);
  // Every idle connection, for drain and for targets that failed.
  void close_idle(Actions& actions);

  std::uint32_t total() const { return total_; }
  std::uint32_t idle() const { return idle_; }
  std::uint32_t connecting() const { return connecting_; }
  std::uint32_t waiting() const { return waiting_; }
  // Of the clients that wait, those who could get a connection if there were more of them, and for whom none is being
  // opened.
  std::uint32_t unserved() const;
  // Of the client that has waited longest; zero when none waits.
  Duration longest_wait(TimePoint now) const;
  const std::map<std::string, std::unique_ptr<KeyPool>>& keys() const { return keys_; }
  List<Waiter, &Waiter::all_hook>& waiters() { return all_waiters_; }  // who came first is first
  Waiter* first_waiter() { return all_waiters_.empty() ? nullptr : &all_waiters_.front(); }

 private:
  void open_where_needed(Actions& actions);
  void open_within_groups(Actions& actions);
  void open(KeyPool& key, Actions& actions);
  bool wants_connection(const KeyPool& key) const;
  void count(KeyPool& key, int change);
  bool groups_over_limit(const KeyPool& key) const;
  bool has_group_limits() const { return limits_.max_per_user != 0 || limits_.max_per_database != 0; }
  bool may_open(const KeyPool& key, const KeyPool* instead_of = nullptr) const;
  Server* make_room(const KeyPool& key);
  Server* least_recently_used();
  void drop(Server& server);
  Waiter* hand_over(Server& server);
  void make_idle(Server& server, TimePoint now);
  void unqueue(Waiter& waiter);
  KeyPool* underserved(const KeyPool& than);

  Limits limits_;
  std::map<std::string, Group> users_, databases_;
  std::map<std::string, std::unique_ptr<KeyPool>> keys_;
  List<Waiter, &Waiter::all_hook> all_waiters_;
  List<KeyPool, &KeyPool::waiting_hook> waiting_keys_;
  std::uint32_t total_ = 0;
  std::uint32_t idle_ = 0;
  std::uint32_t connecting_ = 0;
  std::uint32_t waiting_ = 0;
};

}  // namespace dbproxy::pool
