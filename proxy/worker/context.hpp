// Context: what everything on one worker thread shares, whatever its engine. Owned by the worker; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "proxy/auth/random.hpp"
#include "proxy/aws/client_tokens.hpp"
#include "proxy/aws/database_tokens.hpp"
#include "proxy/net/loop.hpp"
#include "proxy/net/offload.hpp"
#include "proxy/net/resolver.hpp"
#include "proxy/session/output.hpp"
#include "proxy/worker/budget_side.hpp"
#include "proxy/worker/connection_record.hpp"
#include "proxy/worker/early_ports.hpp"
#include "proxy/worker/service.hpp"

namespace dbproxy::worker {

// One read's worth; shared by all connections of the worker, since nothing stays in it between two events.
inline constexpr std::size_t kReadSize = 64 * 1024;
// Reads per event before other connections get their turn.
inline constexpr int kReadsPerTurn = 8;

// So many random bytes, in hexadecimal.
std::string random_text(const auth::RandomBytes& random, std::size_t bytes);

struct Context {
  Context(const Clock& clock, ServiceOptions service_options);

  net::Loop loop;
  net::Offload offload;  // key derivation: CPU only, so that nothing there waits for somebody else's machine
  net::Resolver resolver;
  aws::DatabaseTokens tokens;
  aws::ClientTokens client_tokens;
  // For what may wait for AWS. A thread only where it is asked for.
  net::Offload& signing();
  net::Offload& verifying();
  int verifications = 0;  // under way
  ServiceOptions options;
  EarlyPorts early_ports;
  auth::RandomBytes random;
  std::string process_secret;  // for the mock keys of users that do not exist
  std::vector<char> scratch;
  session::Output to_server;
  session::Output to_client;
  session::Output listen_to_server;  // for a connection that no client is attached to, while one is being served
  std::unordered_map<const net::Pollable*, std::unique_ptr<net::Pollable>> cancels;  // on their way; and partings
  // One of `cancels` is done: it ends once the loop has no more to do with it.
  void forget(const net::Pollable& done);
  BudgetReportSink budget_report;
  bool count_alone = false;     // the operator leases nothing
  std::set<std::string> begun;  // DBProxies that were ever in force
  // The list of what this DBProxy has open here. Null: none is kept.
  std::shared_ptr<ConnectionRecord> record(const std::string& proxy);
  std::uint32_t worker = 0;  // its number

 private:
  std::unique_ptr<net::Offload> signing_, verifying_;
  std::map<std::string, std::shared_ptr<ConnectionRecord>> records_;
};

}  // namespace dbproxy::worker
