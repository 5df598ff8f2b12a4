// ServerSide until its connection is ready: log-in, initQuery and what it has set, catalogue.
#include <algorithm>

#include "proxy/session/postgres/classify.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/postgres/protocol.hpp"
#include "proxy/worker/postgres/server_side.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker::postgres {
namespace {

// A server that hears nothing any more of a node without power ends the sessions of it after half a minute, and not
// after the two hours of its kernel: nobody else knows when their slots are free. What a client asked for counts.
void add_keepalives(wire::postgres::Parameters& parameters) {
  for (const auto& [name, value] :
       {std::pair{"tcp_keepalives_idle", "15"}, {"tcp_keepalives_interval", "5"}, {"tcp_keepalives_count", "3"}}) {
    const bool asked = std::any_of(parameters.begin(), parameters.end(),
                                   [name = std::string_view(name)](const auto& each) { return each.first == name; });
    if (!asked) parameters.emplace_back(name, value);
  }
}

}  // namespace

std::unique_ptr<backend::Login> ServerSide::new_login(Server& server, const config::User& user, const Secret& token,
                                                      bool unix_socket) {
  const auto& tls = server.proxy().snapshot().server_tls;
  const auto& key = *server.pool_key();
  backend::LoginOptions options;
  options.user = user.name;
  options.database = key.database;
  options.parameters = key.parameters;
  if (!unix_socket) add_keepalives(options.parameters);
  options.token = !token.empty();
  options.password = options.token ? token : server.password(user);
  options.tls = tls.mode;
  options.ca_owner = tls.ca_owner;
  options.direct_tls = tls.direct;
  options.protocol_3_2 = server.target().side().speaks_3_2();
  options.unix_socket = unix_socket;
  awaiting_tls_answer_ = !unix_socket && options.tls != config::TlsMode::kDisable && !options.direct_tls;
  return std::make_unique<Login>(std::move(options), server.context().random);
}

void ServerSide::user_removed(Server& server) {
  server.fail(config::HealthReason::kNone, "the user is no longer configured",
              Protocol::error(Trouble::kUserRemoved, "the user is no longer configured in the DBProxy"));
}

void ServerSide::wants(Server& server, Login& login, backend::Want want) {
  if (want == backend::Want::kDeriveKeys) derive_keys(server, login);
}

void ServerSide::derive_keys(Server& server, Login& login) {
  auto& proxy = server.proxy();
  const auto& name = server.pool_key()->user;
  auto challenge = login.scram_challenge();
  std::string out;
  const bool previous = server.with_previous_password();
  if (auto known = previous ? nullptr : proxy.side().server_keys(name, challenge.salt, challenge.iterations)) {
    auto want = login.keys_derived(*known, out);
    server.resume_login(want, out);
    return;
  }
  auto user = proxy.snapshot().find_user(name);
  if (user == nullptr) return user_removed(server);
  server.pause_login();
  server.context().offload.run([&server, &login, alive = server.alive(), password = server.password(*user), previous,
                                challenge]() -> net::Offload::Done {
    auto keys = auth::derive_scram_keys(password, challenge.salt, challenge.iterations);
    return [&server, &login, alive, previous, keys] {
      if (alive.expired()) return;
      const auto& of = server.pool_key()->user;
      // Of a password that has been replaced meanwhile they would spoil every log-in to come.
      if (!previous && server.generation == server.proxy().generation(of))
        server.proxy().side().keep_server_keys(of, keys);
      std::string reply;
      auto next = login.keys_derived(keys, reply);
      server.resume_login(next, reply);
    };
  });
}

void ServerSide::logged_in(Server& server, const Login& login,
                           std::optional<session::postgres::ServerSession>& session) {
  auto& settings = server.proxy().shared().settings;
  session::postgres::Settings::Values values;
  for (const auto& [name, value] : login.parameters()) values.emplace_back(name, value);
  session.emplace(settings, settings.intern(std::move(values)));
  server.target().side().learn_version(login.parameters());
  process_id_ = login.process_id();
  session->set_process_id(process_id_);
  cancel_key_ = login.cancel_key();
  phase_ = server.proxy().snapshot().pool.init_query.empty() ? Phase::kCatalog : Phase::kInitQuery;
  if (server.pool_key()->replication) phase_ = Phase::kCatalogRead;  // it knows no SQL, or is not there for it
}

Step ServerSide::initialise(Server& server) {
  auto& session = server.session();
  auto& out = server.context().to_server;
  const auto& init = server.proxy().snapshot().pool.init_query;
  // Whatever is said of it elsewhere: a write is for the writer.
  const auto* const standby = session.settings()->find("in_hot_standby");
  if (standby != nullptr && *standby == "on" && server.target().description().role == config::TargetRole::kReadWrite) {
    server.fail(config::HealthReason::kInvalidReplicationState, "it is in recovery, and so not the writer");
    return Step::kFailed;
  }
  switch (phase_) {
    case Phase::kInitQuery:
      session.query(init, out);
      phase_ = Phase::kInitDone;
      return Step::kSent;
    case Phase::kInitDone:
      if (session.hidden_query_failed()) {
        server.fail(config::HealthReason::kConnectionFailed, "initQuery failed",
                    Protocol::error(Trouble::kInitQuery, "connectionPool.initQuery failed on the database",
                                    "Correct initQuery in the DBProxy; the database's log has the error."));
        return Step::kFailed;
      }
      // What it has set: first the names, then the values.
      session.read_set_names(out);
      phase_ = Phase::kSetNames;
      return Step::kSent;
    case Phase::kSetNames:
      session.touch_set_names(session.take_rows(), session::postgres::classify(init));
      if (!session.settings_known()) {
        session.read_settings(out);
        phase_ = Phase::kSetValues;
        return Step::kSent;
      }
      session.set_base();
      return begin_catalog(server);
    case Phase::kSetValues:
      if (auto error = session.settings_read(); !error.empty()) {
        server.fail(config::HealthReason::kConnectionFailed, "what initQuery has set cannot be read: " + error);
        return Step::kFailed;
      }
      session.set_base();
      return begin_catalog(server);
    case Phase::kCatalog:
      return begin_catalog(server);
    case Phase::kCatalogRead:
      return Step::kDone;
  }
  return Step::kDone;
}

// The catalogue is read before any client gets the connection, unless it is known well enough.
Step ServerSide::begin_catalog(Server& server) {
  bool read = server.context().options.read_catalog;
  phase_ = Phase::kCatalogRead;
  if (read) server.session().hold_after_catalog_change();
  if (!read || (catalog_->known() && !wants_catalog(server))) return Step::kDone;
  read_catalog(server);
  return Step::kSent;
}

void ServerSide::is_ready(Server& server) {
  start_settings_ = server.session().settings();
  may_share_listen_ = may_share_listen(server);
  if (server.pool_key()->replication) return;
  server.proxy().side().learn_greeting(*server.pool_key(), server.target().description().role, start_settings_);
}

}  // namespace dbproxy::worker::postgres
