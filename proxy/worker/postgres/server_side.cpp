#include "proxy/worker/postgres/server_side.hpp"

#include "proxy/base/log.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/postgres/cancel_connection.hpp"
#include "proxy/worker/postgres/listener.hpp"
#include "proxy/worker/postgres/protocol.hpp"
#include "proxy/worker/proxy_runtime.hpp"
#include "proxy/worker/server_connection.hpp"

namespace dbproxy::worker::postgres {
namespace {

bool on_writer(Server& server) {
  return server.target().description().role == config::TargetRole::kReadWrite;
}

}  // namespace

ServerSide::ServerSide(Proxy& proxy, const Key& key) : catalog_(proxy.side().catalog(key.database)) {}

ServerSide::~ServerSide() = default;

bool ServerSide::wants_catalog(Server& server) const {
  auto& context = server.context();
  if (!context.options.read_catalog) return false;
  return reading_.differs || server.session().catalog_changed() || catalog_->due(context.loop.now(), on_writer(server));
}

void ServerSide::read_catalog(Server& server) {
  auto& context = server.context();
  server.session().query_rows(catalog_->begin(reading_, context.loop.now(), on_writer(server)), context.to_server);
}

void ServerSide::catalog_read(Server& server) {
  auto& session = server.session();
  auto rows = session.take_rows();
  const bool useful = catalog_->finish(reading_, rows, server.context().loop.now(), on_writer(server));
  if (reading_.differs) {
    // A client that has been given the connection since goes first.
    if (!session.quiet()) return catalog_->expire();
    read_catalog(server);
    server.send_hidden();
  } else if (useful || ++catalog_failures_ >= 2) {
    catalog_failures_ = 0;
    session.catalog_is_known();
  }
}

void ServerSide::probe(Server& server) {
  server.client()->session()->probe(server.session(), server.context().to_server);
  server.send_hidden();
}

// It is idle: time for the catalogue, if that is due. Or its client is pinned and rests: time to see whether that is
// still needed.
void ServerSide::tick(Server& server) {
  constexpr Duration kRested = std::chrono::seconds(1);
  auto client = server.client();
  may_share_listen_ = may_share_listen(server);
  if (listener_) return tick_listener(server);
  if (client == nullptr) {
    if (!server.session().idle() || !wants_catalog(server)) return;
    read_catalog(server);
    server.send_hidden();
  } else if (client->session() != nullptr && !server.cancelling()) {
    if (!client->session()->wants_probe(server.session(), true)) return;
    if (server.context().loop.now() - client->active_at() >= kRested) probe(server);
  }
}

void ServerSide::kept(Server& server) {
  const auto& client = *server.client()->session();
  if (client.wants_names(server.session())) {
    server.client()->session()->read_names(server.session(), server.context().to_server);
    server.send_hidden();
  } else if (client.wants_probe(server.session(), false)) {
    probe(server);
  } else if (client.wants_settings(server.session())) {
    server.session().read_settings(server.context().to_server);
    server.send_hidden();
  }
}

// ALTER DATABASE … SET and ALTER ROLE … SET are in force where a session begins: for whoever logs in from now on that
// has to be a new one.
void ServerSide::replace_servers(Server& server) {
  auto& proxy = server.proxy();
  proxy.side().forget_greetings();
  for (const auto& [id, target] : proxy.targets()) {
    for (const auto& [other, owner] : target->servers()) other->spend();
    target->close_idle();
  }
}

void ServerSide::fatal(Server& server, const session::postgres::ServerEvents& events) {
  if (events.fatal_sqlstate == "3D000" || events.fatal_sqlstate == "28000") {
    server.proxy().side().forget_greeting(*server.pool_key());
  }
}

void ServerSide::answered(Server& server, const session::postgres::ServerEvents& events) {
  if (events.lost_init) needs_init_ = true;
  if (events.defaults_changed) replace_servers(server);
  if (events.schema_changed) catalog_->schema_changed(server.proxy().shared().statements.tick());
  pins_to_discard_ |= server.client() == nullptr ? events.pins : 0;       // the server told of them when it had left
  if (phase_ == Phase::kSetNames || phase_ == Phase::kSetValues) return;  // initialise() takes the rows
  auto& session = server.session();
  auto client = server.client();
  bool has_session = client != nullptr && client->session() != nullptr;
  if (events.rows_ready) catalog_read(server);
  if (events.probe_ready) {
    auto rows = session.take_rows();
    if (client != nullptr && client->state() == Client::State::kGreeting) {
      client->side().start_checked(*client, rows);
      return;
    }
    if (has_session) ClientSide::probed(*client, rows);
  }
  if (events.settings_ready) {
    auto error = session.settings_read();
    if (has_session) client->session()->settings_read(session);
    // What nobody waits for stays unknown: clean() discards it.
    if (!error.empty() && has_session) ClientSide::settings_unread(*client, error);
  }
  if (events.names_ready && has_session) {
    auto options = Protocol::client_options(server.proxy().snapshot(), client->side());
    describe(options);
    if (!client->session()->names_read(session, server.context().to_server, options)) client->count_pins();
    server.send_hidden();
  }
  if (events.channels_ready) {
    if (has_session && !client->session()->channels_read(session)) client->count_pins();
  }
  if (has_session) client->side().answered(*client);
  if (listener_) {
    listener_->answered(session.take_notifications());
    if (session.hidden_query_failed() && server.ready()) return server.lose("it may not listen");
  }
  tell_ready(server);
}

void ServerSide::tell_ready(Server& server) {
  auto& session = server.session();
  auto client = server.client();
  if (!session.owes_ready() || session.reading_rows()) return;
  // A client waits to hear that its change of the catalogue is done.
  if (session.catalog_changed()) {
    read_catalog(server);
    server.send_hidden();
    return;
  }
  if (client != nullptr && client->session() != nullptr && !client->side().settle_channels(*client, server)) return;
  auto& out = server.context().to_client;
  session.release_ready(out);
  if (client != nullptr) client->send(out);
  out.clear();
}

bool ServerSide::has_work(Server& server) {
  if ((needs_init_ && !server.proxy().snapshot().pool.init_query.empty()) || wants_catalog(server)) return true;
  needs_init_ = false;
  return false;
}

Step ServerSide::clean(Server& server) {
  auto& session = server.session();
  auto& out = server.context().to_server;
  const auto& init = server.proxy().snapshot().pool.init_query;
  if (listener_) closed(server);  // the client that began it has left before it was over
  if (session.transaction_status() != 'I') {
    session.query("ROLLBACK", out);
  } else if (pins_to_discard_ != 0 || !session.settings_known() || session.may_listen() || session.may_have_names()) {
    // Names that nobody has read back may be of no setting at all: setting them for the next client could fail.
    pins_to_discard_ = 0;
    needs_init_ = true;
    session.query("DISCARD ALL", out);
  } else if (needs_init_ && !init.empty()) {
    needs_init_ = false;
    session.query(init, out);
    session.back_to_base();
  } else if (wants_catalog(server)) {
    read_catalog(server);
  } else {
    needs_init_ = false;
    return Step::kDone;
  }
  return Step::kSent;
}

void ServerSide::cancel(Server& server, CancelDone done) {
  const auto& proxy = server.proxy();
  CancelConnection::start(server.context(), server.address(), server.target().description().host, proxy.server_tls(),
                          proxy.snapshot().server_tls, process_id_, cancel_key_, std::move(done));
}

}  // namespace dbproxy::worker::postgres
