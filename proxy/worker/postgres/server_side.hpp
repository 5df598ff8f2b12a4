// ServerSide: what a connection to PostgreSQL does besides carrying a client: initQuery, the catalogue, probes of what
// pins, settings that are read back, and what makes it clean for the next client.
//
// A member of its ServerConnection, which calls it at the points that the functions are named after. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "proxy/backend/postgres_login.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/server_session.hpp"
#include "proxy/worker/postgres/catalog.hpp"
#include "proxy/worker/postgres/shared.hpp"

namespace dbproxy::worker::postgres {

class Listener;

class ServerSide {
 public:
  using Login = backend::Login;

  ServerSide(Proxy& proxy, const Key& key);
  ~ServerSide();

  // Until it is ready.
  std::unique_ptr<Login> new_login(Server& server, const config::User& user, const Secret& token, bool unix_socket);
  // After SSLRequest exactly one byte is read: whatever follows belongs to TLS.
  std::size_t login_read_size(std::size_t most) { return std::exchange(awaiting_tls_answer_, false) ? 1 : most; }
  void wants(Server& server, Login& login, backend::Want want);
  void user_removed(Server& server);
  void logged_in(Server& server, const Login& login, std::optional<session::postgres::ServerSession>& session);
  Step initialise(Server& server);
  void is_ready(Server& server);

  // Whenever the server has said something.
  void answered(Server& server, const session::postgres::ServerEvents& events);
  void fatal(Server& server, const session::postgres::ServerEvents& events);
  // Its client is done for now, but keeps it.
  void kept(Server& server);
  void tick(Server& server);

  // Between two clients. `pins`: of one that left.
  bool has_work(Server& server);
  void discard(std::uint32_t pins) { pins_to_discard_ = pins; }
  Step clean(Server& server);
  void cancel(Server& server, CancelDone done);

  // What a statement is judged by.
  void describe(session::postgres::ClientOptions& options) const {
    catalog_->describe(options.classify);
    options.share_listen = may_share_listen_;
  }
  // As its settings were before any client had it.
  const session::postgres::SettingsPtr& greeting() const { return start_settings_; }
  std::uint32_t id() const { return process_id_; }
  const std::string& cancel_key() const { return cancel_key_; }

  // While it listens for the clients of its pool it has no client and stays away from the pool.
  Listener* listener() { return listener_.get(); }
  bool stays() const { return listener_ != nullptr; }
  // Of `server`'s pool; this one from now on if there is none.
  Server& listener_for(Server& server);
  // What a client waits for has been done: it is told, unless there is more.
  void tell_ready(Server& server);
  void closed(Server& server);

 private:
  // What initialise() does next; the first is set when it is logged in.
  enum class Phase { kInitQuery, kInitDone, kSetNames, kSetValues, kCatalog, kCatalogRead };

  void derive_keys(Server& server, Login& login);
  Step begin_catalog(Server& server);
  bool wants_catalog(Server& server) const;
  void read_catalog(Server& server);
  void catalog_read(Server& server);
  void probe(Server& server);
  static void replace_servers(Server& server);
  bool may_share_listen(Server& server) const;
  void tick_listener(Server& server);

  std::unique_ptr<Listener> listener_;
  bool may_share_listen_ = false;
  std::shared_ptr<Catalog> catalog_;
  Catalog::Reading reading_;
  session::postgres::SettingsPtr start_settings_;
  std::uint32_t process_id_ = 0;
  std::string cancel_key_;
  Phase phase_ = Phase::kInitQuery;
  int catalog_failures_ = 0;  // in a row, of readings that a change of the catalogue asked for
  std::uint32_t pins_to_discard_ = 0;
  bool needs_init_ = false;
  bool awaiting_tls_answer_ = false;
};

}  // namespace dbproxy::worker::postgres
