// ServerSide: what a connection to MySQL does besides carrying a client: session trackers, initQuery, the catalogue,
// and what makes it clean for the next client.
//
// A member of its ServerConnection, which calls it at the points that the functions are named after. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "proxy/backend/mysql_login.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/session/mysql/client_session.hpp"
#include "proxy/session/mysql/server_session.hpp"
#include "proxy/worker/mysql/catalog.hpp"
#include "proxy/worker/mysql/client_side.hpp"
#include "proxy/worker/mysql/shared.hpp"

namespace dbproxy::worker::mysql {

class ServerSide {
 public:
  using Login = backend::mysql::Login;

  ServerSide(Proxy& proxy, const Key& key);

  // Until it is ready.
  std::unique_ptr<Login> new_login(Server& server, const config::User& user, const Secret& token, bool unix_socket);
  std::size_t login_read_size(std::size_t most) const { return most; }
  void wants(Server&, Login&, backend::mysql::Want) {}
  void user_removed(Server& server);
  void logged_in(Server& server, const Login& login, std::optional<session::mysql::ServerSession>& session);
  Step initialise(Server& server);
  void is_ready(Server&) {}

  // Whenever the server has said something.
  void answered(Server& server, const session::mysql::ServerEvents& events);
  void fatal(Server& server, const session::mysql::ServerEvents& events);
  void kept(Server& server);
  void tick(Server& server) { let_go_if_wanted(server); }
  // Its client is at rest, and keeps it only in case it asks for what its last statement left. True: that is fetched.
  bool let_go(Server& server);

  // Between two clients. `pins`: of one that left.
  bool has_work(Server& server);
  void discard(std::uint32_t pins) { pinned_ = pinned_ || pins != 0; }
  Step clean(Server& server);
  void cancel(Server& server, CancelDone done);

  // What a statement is judged by.
  void describe(session::mysql::ClientOptions& options) const { options.hazards = catalog_->names(); }
  Greeting greeting() const { return {}; }
  std::uint32_t id() const { return connection_id_; }

 private:
  // What initialise() does next; clean() goes through it again after a reset.
  enum class Phase { kTrackers, kAskRole, kRole, kInitQuery, kCatalog, kDone };
  bool wants_catalog(Server& server) const;
  void let_go_if_wanted(Server& server);
  void read_catalog(Server& server);

  std::shared_ptr<Catalog> catalog_;
  std::uint32_t connection_id_ = 0;
  bool reading_ = false;  // the catalogue
  std::uint64_t reading_number_ = 0;
  bool is_new_ = true;  // nobody has had it yet
  Phase phase_ = Phase::kTrackers;
  bool pinned_ = false;  // by a client that left it as it was
};

}  // namespace dbproxy::worker::mysql
