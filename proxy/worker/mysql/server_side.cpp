#include "proxy/worker/mysql/server_side.hpp"

#include <algorithm>

#include "proxy/backend/mysql_probe.hpp"
#include "proxy/base/log.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/mysql/kill_connection.hpp"
#include "proxy/worker/mysql/protocol.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker::mysql {
namespace {

constexpr std::uint8_t kDefaultCollation = 45;  // of backend::mysql::LoginOptions
constexpr std::string_view kRole = "SELECT @@GLOBAL.read_only, @@GLOBAL.innodb_read_only";

bool on_writer(Server& server) {
  return server.target().description().role == config::TargetRole::kReadWrite;
}

}  // namespace

ServerSide::ServerSide(Proxy& proxy, const Key& key) : catalog_(proxy.side().catalog(key.user)) {}

std::unique_ptr<ServerSide::Login> ServerSide::new_login(Server& server, const config::User& user, const Secret& token,
                                                         bool unix_socket) {
  backend::mysql::LoginOptions options;
  options.user = user.name;
  options.clear_password = !token.empty();
  options.password = token.empty() ? server.password(user) : token;
  options.tls = server.proxy().snapshot().server_tls.mode;
  options.unix_socket = unix_socket;
  options.capabilities = server.pool_key()->capabilities;
  if (server.pool_key()->collation != 0) options.collation = server.pool_key()->collation;
  return std::make_unique<Login>(std::move(options));
}

void ServerSide::user_removed(Server& server) {
  server.fail(config::HealthReason::kNone, "the user is no longer configured",
              Protocol::error(Trouble::kUserRemoved, "the user is no longer configured in the DBProxy"));
}

void ServerSide::logged_in(Server& server, const Login& login, std::optional<session::mysql::ServerSession>& session) {
  connection_id_ = login.greeting().connection_id;
  server.proxy().side().learn_server_greeting(login.greeting());
  auto& settings = server.proxy().shared().settings;
  const auto collation = server.pool_key()->collation;
  auto variables = session::mysql::variables_of_collation(collation != 0 ? collation : kDefaultCollation);
  session.emplace(settings, settings.intern({}, std::move(variables).value_or(session::mysql::Settings::Variables{})),
                  login.capabilities(), login.greeting().mariadb());
  phase_ = Phase::kTrackers;
}

Step ServerSide::initialise(Server& server) {
  auto& session = server.session();
  auto& out = server.context().to_server;
  const auto& init = server.proxy().snapshot().pool.init_query;
  const Phase begin = init.empty() ? Phase::kCatalog : Phase::kInitQuery;
  if (session.hidden_query_failed() && phase_ != Phase::kRole) {
    const bool by_init = phase_ == Phase::kCatalog && !init.empty();
    server.fail(config::HealthReason::kConnectionFailed,
                by_init ? "initQuery failed" : "the server does not track session state",
                Protocol::error(Trouble::kInitQuery,
                                by_init ? "connectionPool.initQuery failed on the database"
                                        : "the database does not let its session state be tracked",
                                by_init ? "Correct initQuery in the DBProxy." : ""));
    return Step::kFailed;
  }
  switch (phase_) {
    case Phase::kTrackers:
      phase_ = is_new_ && on_writer(server) ? Phase::kAskRole : begin;
      session.start(out);
      return Step::kSent;
    case Phase::kAskRole:
      phase_ = Phase::kRole;
      session.query_rows(kRole, out);
      return Step::kSent;
    case Phase::kRole: {
      session.clear_hidden_failure();  // of a server that does not tell others know
      const auto rows = session.take_rows();
      // Whatever is said of it elsewhere: a write is for the writer.
      if (on_writer(server) && !rows.empty() && std::any_of(rows[0].begin(), rows[0].end(), backend::mysql::is_on)) {
        server.fail(config::HealthReason::kInvalidReplicationState, "it is read-only, and so not the writer");
        return Step::kFailed;
      }
      phase_ = begin;
      return initialise(server);
    }
    case Phase::kInitQuery:
      phase_ = Phase::kCatalog;
      session.query(init, out);
      return Step::kSent;
    case Phase::kCatalog:
      phase_ = Phase::kDone;
      is_new_ = false;
      session.set_base();
      // Known to others by now, or being asked for: nobody gets this connection before it is known.
      if (catalog_->known() && !wants_catalog(server)) break;
      read_catalog(server);
      return Step::kSent;
    case Phase::kDone:
      break;
  }
  return Step::kDone;
}

bool ServerSide::wants_catalog(Server& server) const {
  auto& context = server.context();
  return context.options.read_catalog && catalog_->due(context.loop.now());
}

void ServerSide::read_catalog(Server& server) {
  auto& context = server.context();
  server.session().query_rows(catalog_->begin(context.loop.now(), reading_number_), context.to_server);
  reading_ = true;
}

// A client has reset its session: trackers are due at once, initQuery before the next client.
void ServerSide::kept(Server& server) {
  auto& session = server.session();
  if (!session.quiet()) return;
  if (!session.needs_start()) return let_go_if_wanted(server);
  phase_ = server.proxy().snapshot().pool.init_query.empty() ? Phase::kDone : Phase::kInitQuery;
  session.start(server.context().to_server);
  server.send_hidden();
}

bool ServerSide::let_go(Server& server) {
  auto client = server.client();
  if (!server.ready() || server.cancelling() || client == nullptr || client->session() == nullptr) return false;
  session::Output out;  // another client's may be in the making
  if (!client->session()->let_go(server.session(), out)) return false;
  server.channel().send(out);
  return true;
}

// Wanted by others, or not worth keeping: each answer may leave one thing more to ask for.
void ServerSide::let_go_if_wanted(Server& server) {
  const auto& pool = server.target().pool();
  if (server.spent() || pool.waiting() > pool.connecting()) let_go(server);
}

void ServerSide::answered(Server& server, const session::mysql::ServerEvents& events) {
  if (events.replays > 0) server.proxy().stats().settings_replayed->add(events.replays);
  auto& session = server.session();
  if (reading_ && session.quiet()) {
    reading_ = false;
    if (session.hidden_query_failed()) {
      log::warn("pool", "functions, triggers and views cannot be read: what they leave in a session is not noticed",
                {{"proxy", server.proxy().name()}, {"user", server.pool_key()->user}});
      session.clear_hidden_failure();
    }
    catalog_->finish(reading_number_, session.take_rows(), server.context().loop.now());
  }
  if (!events.programs_changed) return;
  catalog_->expire();
  // Before its client asks for anything else, unless the question would begin a transaction.
  if (!server.ready() || !session.quiet() || server.client() == nullptr || session.in_transaction()) return;
  if (!(session.status() & wire::mysql::status::kAutocommit) || !wants_catalog(server)) return;
  read_catalog(server);
  server.send_hidden();
}

void ServerSide::fatal(Server& server, const session::mysql::ServerEvents&) {
  server.proxy().side().forget_greetings();
}

bool ServerSide::has_work(Server& server) {
  if (!server.pool_key()->has_schema && !server.session().schema().empty()) server.spend();
  if (server.session().keeps_role()) server.spend();
  return phase_ != Phase::kDone || server.session().left_behind() || server.session().has_variables() ||
         wants_catalog(server);
}

// A transaction is rolled back. What pinned is never left for the next client: such a connection is closed, which costs
// the next one a log-in and is exact whatever it was.
Step ServerSide::clean(Server& server) {
  auto& session = server.session();
  if (pinned_ || (session.needs_start() && phase_ != Phase::kTrackers)) {
    server.spend();
    return Step::kDone;
  }
  if (session.in_transaction()) {
    session.query("ROLLBACK", server.context().to_server);
    return Step::kSent;
  }
  if (session.left_behind()) {
    phase_ = Phase::kTrackers;
    session.reset(server.context().to_server);
    return Step::kSent;
  }
  if (session.has_variables()) {
    session.unset_variables(server.context().to_server);
    return Step::kSent;
  }
  if (phase_ != Phase::kDone) return initialise(server);
  if (wants_catalog(server)) {
    read_catalog(server);
    return Step::kSent;
  }
  if (!session.idle()) server.spend();  // locked tables, and what the next transaction was to be
  has_work(server);
  return Step::kDone;
}

void ServerSide::cancel(Server& server, CancelDone done) {
  if (!server.uses_token()) return KillConnection::start(server, connection_id_, {}, std::move(done));
  // Asked even where it cannot be made: the log-in that fails then tells that nothing was cancelled.
  server.sign_token([&server, id = connection_id_, done = std::move(done)](aws::Outcome<Secret> token) mutable {
    KillConnection::start(server, id, token.value, std::move(done));
  });
}

}  // namespace dbproxy::worker::mysql
