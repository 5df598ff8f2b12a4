#include "proxy/worker/server_connection.hpp"

#include "proxy/base/log.hpp"
#include "proxy/net/tls_peer.hpp"
#include "proxy/worker/cancel_connection.hpp"
#include "proxy/worker/client_connection.hpp"
#include "proxy/worker/proxy_runtime.hpp"

namespace dbproxy::worker {
namespace {

constexpr Duration kCleanTimeout = std::chrono::seconds(15);
// Reads per event before other connections get their turn.
constexpr int kReadsPerTurn = 8;

}  // namespace

ServerConnection::ServerConnection(ProxyRuntime& proxy, Target& target, Context& context,
                                   std::shared_ptr<const PoolKey> key, pool::KeyPool& pool)
    : proxy_(proxy),
      target_(target),
      context_(context),
      key_(std::move(key)),
      key_pool_(pool),
      catalog_(proxy.catalog(key_->database)),
      deadline_([this] {
        if (state_ == State::kCleaning) {
          lose("it could not be cleaned in time");
        } else {
          fail(config::HealthReason::kUnreachable, "no answer within 15 s");
        }
      }) {}

ServerConnection::~ServerConnection() = default;

void ServerConnection::on_event(std::uint32_t events) {
  if (state_ == State::kClosed) return;
  channel_.stream().note(events);
  pump();
}

void ServerConnection::pump() {
  switch (state_) {
    case State::kResolving:
      if (!addresses_.empty()) start_on(std::move(addresses_));
      return;
    case State::kConnecting:
      if (channel_.stream().writable()) connected();
      return;
    case State::kTls: {
      auto io = channel_.stream().handshake();
      if (io.status == net::IoStatus::kBlocked) return;
      if (io.status != net::IoStatus::kOk) {
        fail(config::HealthReason::kConnectionFailed,
             net::tls_failure(channel_.stream().ssl(), proxy_.snapshot().server_tls.direct));
        return;
      }
      std::string out;
      state_ = State::kLogin;
      const SSL* ssl = channel_.stream().ssl();
      if (proxy_.snapshot().server_tls.direct && !net::alpn_agreed(ssl)) {
        fail(config::HealthReason::kConnectionFailed, std::string(net::kNoAlpn));
        return;
      }
      auto want = login_->tls_established(out, net::peer_end_point(ssl));
      step_login(want, out);
      return;
    }
    case State::kLogin:
      read_login();
      return;
    case State::kDeriving:
    case State::kClosed:
      return;
    default:
      if (channel_.has_unsent()) {
        if (!channel_.flush()) {
          state_ == State::kTunnel ? read_tunnel() : read_ready();  // its last words
          return lose("cannot send");
        }
        // The client was paused while this server was slow.
        if (client_ != nullptr && !channel_.has_unsent()) client_->resume();
      }
      state_ == State::kTunnel ? read_tunnel() : read_ready();
  }
}

bool ServerConnection::on_writer() const {
  return target_.description().role == config::TargetRole::kReadWrite;
}

bool ServerConnection::wants_catalog() const {
  if (!context_.options.read_catalog) return false;
  return session_->catalog_changed() || catalog_->due(context_.loop.now(), on_writer());
}

void ServerConnection::check_catalog() {
  if (state_ == State::kReady && client_ == nullptr && session_->idle() && wants_catalog()) read_catalog();
}

void ServerConnection::read_catalog() {
  session_->query_rows(catalog_->begin(context_.loop.now(), on_writer()), context_.to_server);
  channel_.send(context_.to_server);  // when that fails, reading says so
}

void ServerConnection::check_pins() {
  constexpr Duration kRested = std::chrono::seconds(1);
  if (state_ != State::kReady || client_ == nullptr || client_->session() == nullptr || cancelling()) return;
  if (!client_->session()->wants_probe(*session_, true) || context_.loop.now() - client_->active_at() < kRested) return;
  probe();
}

void ServerConnection::probe() {
  client_->session()->probe(*session_, context_.to_server);
  channel_.send(context_.to_server);  // when that fails, reading says so
}

void ServerConnection::check_start(std::string_view sql) {
  session_->probe(sql, context_.to_server);
  channel_.send(context_.to_server);  // when that fails, reading says so
}

void ServerConnection::probe_read() {
  auto rows = session_->take_rows();
  if (client_ != nullptr && client_->state() == ClientConnection::State::kGreeting) return client_->start_checked(rows);
  if (client_ != nullptr && client_->session() != nullptr) client_->probed(rows);
}

void ServerConnection::read_settings() {
  session_->read_settings(context_.to_server);
  channel_.send(context_.to_server);  // when that fails, reading says so
}

void ServerConnection::settings_read() {
  auto error = session_->settings_read();
  // What nobody waits for stays unknown: clean() discards it.
  if (!error.empty() && client_ != nullptr) client_->settings_unread(error);
}

// What initQuery has set: first the names, then the values.
void ServerConnection::base_read(bool names) {
  if (names) {
    session_->touch_set_names(session_->take_rows(), session::postgres::classify(proxy_.snapshot().pool.init_query));
    if (!session_->settings_known()) return read_settings();
  } else if (auto error = session_->settings_read(); !error.empty()) {
    return fail(config::HealthReason::kConnectionFailed, "what initQuery has set cannot be read: " + error);
  }
  session_->set_base();
  initialised();
}

// A client waits to hear that its change of the catalogue is done.
void ServerConnection::catalog_or_ready() {
  if (session_->catalog_changed()) return read_catalog();
  session_->release_ready(context_.to_client);
  if (client_ != nullptr) client_->send(context_.to_client);
  context_.to_client.clear();
}

void ServerConnection::catalog_read() {
  auto rows = session_->take_rows();
  if (catalog_->finish(rows, context_.loop.now(), on_writer()) || ++catalog_failures_ >= 2) {
    catalog_failures_ = 0;
    session_->catalog_is_known();
  }
}

void ServerConnection::attach(ClientConnection& client) {
  client_ = &client;
}

void ServerConnection::detach() {
  client_ = nullptr;
  if ((needs_init_ && !proxy_.snapshot().pool.init_query.empty()) || wants_catalog()) {
    context_.loop.arm(deadline_, kCleanTimeout);
    clean();
    return;
  }
  needs_init_ = false;
  target_.release(*this);
}

void ServerConnection::orphan(std::uint32_t pins, Leaving leaving) {
  client_ = nullptr;
  if (state_ == State::kTunnel) return end_tunnel();
  session_->forget_client();
  if (leaving == Leaving::kInMidMessage || fatal_) {
    lose("its client left in the middle of a message");
    return;
  }
  pins_to_discard_ = pins;
  bool busy = !session_->quiet();
  if (busy && leaving == Leaving::kVanished) cancel();
  // What a client said good-bye behind may take its time.
  if (!busy || leaving == Leaving::kVanished) context_.loop.arm(deadline_, kCleanTimeout);
  clean();
}

// One step towards a connection that the next client can have; called again whenever the server has answered.
void ServerConnection::clean() {
  state_ = State::kCleaning;
  if (session_->hidden_query_failed()) return lose("it could not be cleaned");
  if (!session_->quiet()) {
    if (session_->finish_sequence(context_.to_server) && !channel_.send(context_.to_server)) lose("cannot send");
    return;
  }
  if (cancels_in_flight_ > 0) return;
  if (!deadline_.armed()) context_.loop.arm(deadline_, kCleanTimeout);
  const auto& init = proxy_.snapshot().pool.init_query;
  if (session_->transaction_status() != 'I') {
    session_->query("ROLLBACK", context_.to_server);
  } else if (pins_to_discard_ != 0 || !session_->settings_known()) {
    // Names that nobody has read back may be of no setting at all: setting them for the next client could fail.
    pins_to_discard_ = 0;
    needs_init_ = true;
    session_->query("DISCARD ALL", context_.to_server);
  } else if (needs_init_ && !init.empty()) {
    needs_init_ = false;
    session_->query(init, context_.to_server);
    session_->back_to_base();
  } else if (wants_catalog()) {
    read_catalog();
    return;
  } else {
    needs_init_ = false;
    deadline_.disarm();
    state_ = State::kReady;
    target_.release(*this);
    return;
  }
  if (!channel_.send(context_.to_server)) lose("cannot send");
}

bool ServerConnection::send(session::Output& output) {
  if (channel_.send(output)) return true;
  // Its last words, if any, are still to be read.
  context_.loop.defer(*this);
  return true;
}

void ServerConnection::check_peer() {
  auto silence = context_.options.server_silence;
  if (channel_.stream().open() && net::silent_for(channel_.stream().fd(), silence)) lose("the server does not answer");
}

void ServerConnection::read_ready() {
  for (int turn = 0; channel_.stream().readable(); ++turn) {
    if (client_ != nullptr && client_->has_unsent()) return;  // its client is slow: so is the server
    if (turn == kReadsPerTurn) {
      context_.loop.defer(*this);
      return;
    }
    auto io = channel_.stream().read(context_.scratch.data(), kReadSize);
    if (io.status == net::IoStatus::kBlocked) return;
    if (io.status != net::IoStatus::kOk) return lose("the server closed the connection");
    proxy_.stats().server_received->add(io.bytes);
    std::string_view bytes(context_.scratch.data(), io.bytes);
    if (!in_.empty()) {
      in_.append(bytes);
      bytes = in_;
    }
    std::size_t consumed = 0;
    auto client_session = client_ != nullptr ? client_->session() : nullptr;
    auto verdict = session_->feed(bytes, consumed, client_session, context_.to_client);
    if (client_ != nullptr) {
      client_->send(context_.to_client);  // when that client breaks, its own event says so
    }
    context_.to_client.clear();
    if (bytes.data() == in_.data()) {
      in_.erase(0, consumed);
      if (in_.empty()) std::string().swap(in_);
    } else if (consumed < bytes.size()) {
      in_.assign(bytes.substr(consumed));
    }
    if (verdict == session::postgres::ServerVerdict::kReplayFailed) return replay_failed();
    if (verdict == session::postgres::ServerVerdict::kProtocolError) return lose("the server broke the protocol");
    after_ready();
    if (state_ == State::kClosed) return;
  }
}

void ServerConnection::after_ready() {
  auto events = session_->take_events();
  if (events.queries_done > 0) {
    proxy_.stats().queries->add(events.queries_done);
    proxy_.stats().transactions->add(events.transactions_done);
    if (client_ != nullptr) proxy_.stats().query_seconds->observe(context_.loop.now() - client_->since_query());
  }
  if (client_ != nullptr && events.statements_done + events.queries_done > 0) {
    client_->work_went_on(events.transactions_done > 0);
  }
  if (events.lost_init) needs_init_ = true;
  if (events.schema_changed) catalog_->schema_changed(context_.statements.tick());
  if (events.fatal) {
    fatal_ = true;
    if (events.fatal_sqlstate == "3D000" || events.fatal_sqlstate == "28000") proxy_.forget_greeting(*key_);
    log::warn("pool", "server ended a connection",
              {{"proxy", proxy_.name()}, {"target", target_.description().id}, {"sqlstate", events.fatal_sqlstate}});
    if (client_ == nullptr && state_ == State::kReady) return lose("the server ended it");
  }
  if (cancel_after_replay_ && !session_->replaying()) {
    cancel_after_replay_ = false;
    if (!session_->quiet()) cancel();
  }
  if (client_ != nullptr && client_->session() != nullptr && client_->session()->held()) client_->resume();
  if (state_ == State::kBase && session_->quiet()) return base_read(events.rows_ready);
  if (events.rows_ready) catalog_read();
  if (events.probe_ready) probe_read();
  if (events.settings_ready) settings_read();
  if (session_->owes_ready() && !session_->reading_rows()) catalog_or_ready();
  if (state_ == State::kCleaning) {
    pins_to_discard_ |= events.pins;  // of a client that had left when the server told of them
    return clean();
  }
  if (!session_->quiet()) return;
  switch (state_) {
    case State::kInit:
      if (session_->hidden_query_failed()) {
        std::string error;
        wire::postgres::error_response(error,
                                       {.severity = "FATAL",
                                        .sqlstate = "38000",
                                        .message = "connectionPool.initQuery failed on the database",
                                        .hint = "Correct initQuery in the DBProxy; the database's log has the error."});
        fail(config::HealthReason::kConnectionFailed, "initQuery failed", std::move(error));
        return;
      }
      state_ = State::kBase;
      session_->read_set_names(context_.to_server);
      channel_.send(context_.to_server);
      return;
    case State::kCatalog:
      finished();
      return;
    case State::kReady:
      if (client_ != nullptr) client_->server_ready();
      return;
    default:
      return;
  }
}

// Its client's settings are not in force, so nothing that it asks may run here; the server has refused what it had
// already. Neither is the connection worth keeping: nobody knows what it refuses next.
void ServerConnection::replay_failed() {
  if (client_ == nullptr) return lose("it could not be cleaned");
  proxy_.stats().replay_failures->add();
  log::warn("session", "settings refused by the server",
            {{"proxy", proxy_.name()}, {"target", target_.description().id}, {"user", key_->user}});
  auto client = std::exchange(client_, nullptr);
  close();
  client->settings_refused(session_->replay_error());
  target_.lost(*this);
}

void ServerConnection::cancel() {
  if (session_->replaying()) {  // not the settings: what is asked behind them
    cancel_after_replay_ = true;
    return;
  }
  ++cancels_in_flight_;
  proxy_.passed_on_cancel();
  std::weak_ptr<int> alive = alive_;
  CancelConnection::start(context_, address_, target_.description().host, proxy_.server_tls(),
                          proxy_.snapshot().server_tls, process_id_, cancel_key_,
                          [this, alive](CancelConnection::Outcome outcome) {
                            if (alive.expired() || state_ == State::kClosed) return;
                            --cancels_in_flight_;
                            // It may still come, and would hit the next client.
                            if (outcome == CancelConnection::Outcome::kUnknown) spent_ = true;
                            if (state_ == State::kCleaning) {
                              clean();
                            } else if (client_ != nullptr && session_->quiet()) {
                              client_->server_ready();
                            }
                          });
}

void ServerConnection::cancel_over_limit() {
  session_->expect_timeout();
  cancel();
}

void ServerConnection::close() {
  if (state_ == State::kClosed) return;
  bool polite = state_ == State::kReady || state_ == State::kCleaning || state_ == State::kTunnel;
  state_ = State::kClosed;
  deadline_.disarm();
  alive_.reset();
  if (!channel_.stream().open()) return;
  if (polite) {
    std::string out;
    wire::postgres::terminate(out);
    channel_.send(std::string_view(out));
  }
  context_.loop.unwatch(channel_.stream().fd());
  channel_.stream().close();
}

// After it was ready.
void ServerConnection::lose(std::string_view why) {
  if (state_ == State::kClosed) return;
  if (state_ != State::kReady && state_ != State::kCleaning && state_ != State::kTunnel) {
    fail(config::HealthReason::kConnectionFailed, std::string(why));
    return;
  }
  log::info("pool", "server connection lost",
            {{"proxy", proxy_.name()}, {"target", target_.description().id}, {"user", key_->user}, {"why", why}});
  auto client = client_;
  client_ = nullptr;
  close();
  if (client != nullptr) client->server_lost(why, fatal_);
  target_.lost(*this);
}

}  // namespace dbproxy::worker
