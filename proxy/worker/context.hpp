// Context: what everything on one worker thread shares. Owned by the worker; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "proxy/auth/random.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/offload.hpp"
#include "proxy/net/resolver.hpp"
#include "proxy/session/output.hpp"
#include "proxy/session/postgres/cancel_key.hpp"
#include "proxy/session/postgres/settings.hpp"
#include "proxy/session/postgres/statement.hpp"
#include "proxy/worker/early_ports.hpp"
#include "proxy/worker/service.hpp"

namespace dbproxy::worker {

class ClientConnection;

// One read's worth; shared by all connections of the worker, since nothing stays in it between two events.
inline constexpr std::size_t kReadSize = 64 * 1024;

struct Context {
  Context(const Clock& clock, ServiceOptions service_options);

  net::Loop loop;
  net::Offload offload;  // key derivation: CPU only, so that nothing there waits for somebody else's machine
  net::Resolver resolver;
  ServiceOptions options;
  EarlyPorts early_ports;
  auth::RandomBytes random;
  std::string process_secret;  // for the mock keys of users that do not exist
  session::postgres::StatementCache statements;
  session::postgres::SettingsInterner settings;
  std::vector<char> scratch;
  session::Output to_server;
  session::Output to_client;
  std::unordered_map<net::Pollable*, std::unique_ptr<net::Pollable>> cancels;  // on their way

  // Clients by the process id that they were told, for cancel requests.
  std::unordered_map<std::uint32_t, ClientConnection*> clients_by_id;
  std::uint32_t worker = 0;  // its number, which every process id carries
  // `long_key`: the client speaks protocol 3.2. Registered under it until the client closes.
  session::postgres::CancelKey new_cancel_key(ClientConnection& client, bool long_key);
};

}  // namespace dbproxy::worker
