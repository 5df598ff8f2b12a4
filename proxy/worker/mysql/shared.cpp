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

}  // namespace dbproxy::worker::mysql
