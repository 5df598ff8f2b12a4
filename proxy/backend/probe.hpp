// ProbeSession: a connection to one PostgreSQL server on which it is asked, again and again, who it is.
//
// Logs in as a client would at the first question and after every failure, and stays: a server that is asked each
// second need not make a process and a TLS session for that. ask() blocks for at most its time-out, apart from looking
// up the name. One thread at a time. SCRAM keys (milliseconds of CPU) are derived when `keys` does not have them yet.
// Every name in its questions is qualified, so that no search_path of the database can answer them. The process must
// ignore SIGPIPE.
//
// On Aurora it asks aurora_replica_status() too, once pg_proc has said that there is one: every member then tells of
// all members. A `topology_query` is asked instead where it is given; its columns, by place: id (text), whether it is
// the writer (boolean), age of this news in seconds, lag in seconds (numbers).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/backend/scram_key_cache.hpp"
#include "proxy/base/secret.hpp"
#include "proxy/config/snapshot.hpp"

namespace dbproxy::backend {

// One member as another, or itself, tells of it.
struct MemberNews {
  std::string id;
  bool writer = false;
  double age_seconds = 0;  // when the member last said so itself
  double lag_seconds = 0;
};

struct SoughtSession {
  std::uint32_t id = 0;    // of a process or connection
  std::uint16_t port = 0;  // from which it came; 0: a Unix socket
};

// Sessions of these users that are not among `known`, and not probes; and all that take a connection, whoever's they
// are, but for those known and the one that asks. And, of those that are sought, which there are: sessions younger than
// so many seconds have the number of one that is gone.
struct SessionQuestion {
  std::vector<std::string> users = {};    // none: not asked
  std::vector<std::uint32_t> known = {};  // ids of processes or connections
  std::vector<SoughtSession> sought = {};
  double older_than = 0;
};

struct ProbeOutcome {
  bool ok = false;
  // kUnreachable: nobody answers; kAuthFailure: the user is refused; kEndpointRefused: its address is refused;
  // kConnectionFailed: everything else.
  config::HealthReason reason = config::HealthReason::kNone;
  std::string detail;    // for people, may hold the server's words; also when ok: why it does not tell of others
  std::string sqlstate;  // when the server gave an error
  // Known when ok.
  bool in_recovery = false;
  std::uint32_t max_connections = 0;
  std::uint32_t reserved = 0;     // superuser_reserved_connections and, from PostgreSQL 16, reserved_connections
  double lag_seconds = 0;         // of replay; 0 on a writer, when all is replayed, and where the server does not tell
  std::string system_identifier;  // empty where this user may not ask
  // The same for each name of this one server, another for each other one; another one after it has started anew, too.
  // Empty where it does not tell.
  std::string server;
  std::uint32_t timeline = 0;  // of what it writes, or of its last checkpoint; 0 where this user may not ask
  std::string server_version;
  std::vector<MemberNews> members;  // at most 128; empty where the server knows of no others
  // What was asked of sessions; none where this user cannot tell.
  std::optional<std::uint32_t> strangers = {};
  std::optional<std::uint32_t> others = {};
  std::optional<std::vector<std::uint32_t>> found = {};
};

struct ProbeAddress {
  std::string host;  // that begins with '/': the directory of a Unix socket
  std::uint16_t port = 0;
  config::ServerTls tls;
  std::string user;
  Secret password;
  std::string database = "postgres";
  std::string topology_query;  // empty: what Aurora has, if it is Aurora
  config::EndpointPolicy policy = {};
  bool token = false;  // the password is a token of AWS
  bool operator==(const ProbeAddress&) const = default;
};

class ProbeSession {
 public:
  ProbeSession(ProbeAddress address, ScramKeyCache& keys);
  ~ProbeSession();  // says goodbye, without waiting
  ProbeSession(const ProbeSession&) = delete;
  ProbeSession& operator=(const ProbeSession&) = delete;

  // `reply`: within which a server that was there before has to answer; `timeout`: for log-in and answer together.
  ProbeOutcome ask(std::chrono::milliseconds timeout = std::chrono::milliseconds(2000),
                   std::chrono::milliseconds reply = std::chrono::milliseconds(1500),
                   const SessionQuestion& sessions = {});

 private:
  class Connection;
  const ProbeAddress address_;
  ScramKeyCache& keys_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace dbproxy::backend
