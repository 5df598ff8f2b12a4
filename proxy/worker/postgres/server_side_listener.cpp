// The part of ServerSide that lets its connection listen for the clients of its pool.
#include "proxy/base/log.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/postgres/listener.hpp"
#include "proxy/worker/postgres/protocol.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker::postgres {
namespace {

// One connection for listening, and one that is left for the rest.
constexpr std::uint32_t kFewest = 2;

bool leaves_room(std::uint32_t limit) {
  return limit == 0 || limit >= kFewest;
}

bool has_room(Server& server) {
  const auto& limits = server.target().pool().limits();
  return limits.max_connections >= kFewest && leaves_room(limits.max_per_user) && leaves_room(limits.max_per_database);
}

}  // namespace

// Where every connection would be needed for it, a client that listens is pinned. At most half of them listen.
bool ServerSide::may_share_listen(Server& server) const {
  if (server.pool_key()->replication || !has_room(server)) return false;
  const auto& side = server.target().side();
  if (side.listener(*server.pool_key()) != nullptr) return true;
  return side.listener_count() < server.target().pool().limits().max_connections / 2;
}

Server& ServerSide::listener_for(Server& server) {
  auto& side = server.target().side();
  const auto& key = *server.pool_key();
  if (auto known = side.listener(key)) return *known;
  log::info("session", "a server connection listens for the clients of its pool",
            {{"proxy", server.proxy().name()}, {"user", key.user}, {"database", key.database}});
  listener_ = std::make_unique<Listener>(server);
  side.set_listener(key, &server);
  return server;
}

void ServerSide::tick_listener(Server& server) {
  if (server.client() != nullptr) return;
  if (!server.target().usable() || !has_room(server)) return server.lose("it may not listen any more");
  if (!listener_->unused() || !server.session().idle()) return;
  server.target().side().set_listener(*server.pool_key(), nullptr);
  listener_.reset();
  server.spend();  // its settings are no client's
  server.detach();
}

void ServerSide::closed(Server& server) {
  if (!listener_) return;
  server.target().side().set_listener(*server.pool_key(), nullptr);
  const auto listener = std::move(listener_);
  server.session().collect_notifications(false);
  server.spend();
  listener->lost();
}

}  // namespace dbproxy::worker::postgres
