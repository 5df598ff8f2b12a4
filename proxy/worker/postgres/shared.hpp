// What all PostgreSQL connections of a worker share, and what they have to know of each other. One thread.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "proxy/auth/scram.hpp"
#include "proxy/session/postgres/cancel_key.hpp"
#include "proxy/session/postgres/settings.hpp"
#include "proxy/session/postgres/statement.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "proxy/worker/context.hpp"
#include "proxy/worker/forward.hpp"
#include "proxy/worker/protocol.hpp"

namespace dbproxy::worker::postgres {

struct Protocol;
using Client = ClientConnection<Protocol>;
using Server = ServerConnection<Protocol>;
using Proxy = ProxyRuntime<Protocol>;

struct Key : PoolKey {
  wire::postgres::Parameters parameters;  // start-up settings, sorted by name
};

// Keys of all users by name, derived off the worker's thread: what Prepared::keys points to.
struct LoginKeys {
  auth::ScramKeys current;
  auth::ScramKeys previous;  // of the previous password, with the same salt; no iterations: there is none
};
using UserKeys = std::unordered_map<std::string, LoginKeys>;

struct Shared {
  explicit Shared(const auth::RandomBytes& random) : statements("dbproxy_" + random_text(random, 6) + "_") {}

  session::postgres::StatementCache statements;
  session::postgres::SettingsInterner settings;
  // Clients by the process id that they were told, for cancel requests.
  std::unordered_map<std::uint32_t, Client*> clients_by_id;
  // `long_key`: the client speaks protocol 3.2. Registered under it until the client closes.
  session::postgres::CancelKey new_cancel_key(Client& client, bool long_key, const Context& context);
};

// Of one cluster member.
class TargetSide {
 public:
  // Protocol 3.2: known of a server that an earlier connection has shown to be PostgreSQL 18 or later.
  bool speaks_3_2() const { return major_version_ >= 18; }
  void learn_version(const wire::postgres::Parameters& greeting);

  // Of each pool the server connection that listens for its clients (listener.hpp); null: none does.
  Server* listener(const Key& key) const;
  void set_listener(const Key& key, Server* server);
  std::size_t listener_count() const { return listeners_.size(); }
  // The target is no longer used: nobody will hear of anything by it.
  void shut_down();

 private:
  int major_version_ = 0;
  std::unordered_map<const Key*, Server*> listeners_;
};

}  // namespace dbproxy::worker::postgres
