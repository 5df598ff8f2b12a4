#include "proxy/worker/mysql/shared.hpp"

#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/mysql/protocol.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker::mysql {

std::uint32_t Shared::new_connection_id(Client& client) {
  while (true) {
    if (++last_id == 0) ++last_id;
    if (clients_by_id.emplace(last_id, &client).second) return last_id;
  }
}

void TargetSide::somebody_waits(Target<Protocol>& target) {
  if (target.pool().connecting() >= target.pool().waiting()) return;
  for (const auto& [server, owner] : target.servers()) {
    if (server->side().let_go(*server)) return;
  }
}

}  // namespace dbproxy::worker::mysql
