// What all MySQL connections of a worker share, and what they have to know of each other. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>

#include "proxy/session/mysql/settings.hpp"
#include "proxy/session/mysql/statement.hpp"
#include "proxy/wire/mysql/constants.hpp"
#include "proxy/worker/context.hpp"
#include "proxy/worker/forward.hpp"
#include "proxy/worker/protocol.hpp"

namespace dbproxy::worker::mysql {

struct Protocol;
using Client = ClientConnection<Protocol>;
using Server = ServerConnection<Protocol>;
using Proxy = ProxyRuntime<Protocol>;

// `database` stays empty: the schema follows the client from connection to connection.
struct Key : PoolKey {
  std::uint32_t capabilities = 0;  // of kKeyFlags, those that the client has
  std::uint8_t collation = 0;      // where nobody here knows what it makes of a session: asked for at log-in; else 0
  bool has_schema = false;         // where none was asked for, none may be in force: it cannot be left again
};

struct Shared {
  session::mysql::StatementCache statements;
  session::mysql::SettingsInterner settings;
  std::uint64_t last_serial = 0;  // of a client
  // Clients by the connection id that they were told, for KILL. Registered until the client closes.
  std::unordered_map<std::uint32_t, Client*> clients_by_id;
  std::uint32_t last_id = 0;
  std::uint32_t new_connection_id(Client& client);
};

class TargetSide {
 public:
  // A client has to wait for a connection: one that another client keeps only in case it asks for what its last
  // statement left is let go.
  void somebody_waits(Target<Protocol>& target);
};

}  // namespace dbproxy::worker::mysql
