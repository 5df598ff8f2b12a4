// ClientSide: what a client of MySQL has besides its session: a connection id, and the schema that it came for.
//
// A member of its ClientConnection, which calls it at the points that the functions are named after. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "proxy/session/mysql/client_login.hpp"
#include "proxy/session/mysql/client_session.hpp"
#include "proxy/worker/mysql/shared.hpp"

namespace dbproxy::worker::mysql {

// A server has let somebody in like this; there is nothing more to tell.
struct Greeting {};

class ClientSide {
 public:
  using Login = session::mysql::ClientLogin;

  // The server speaks first; where no server has shown yet what it says, that waits.
  void started(Client& client, Login& login);
  bool try_to_greet(Client& client);
  void wants(Client&, Login&, Login::Want) {}
  // COM_CHANGE_USER, of a client whose session is still there: the log-in that follows, and its first step.
  std::unique_ptr<Login> change_user(Client& client, Login::Want& want, std::string& out);
  std::shared_ptr<const Key> authenticated(Proxy& proxy, const Login& login);
  // With the first server connection of its kind: does it let the client into its schema?
  Step before_greeting(Client& client, Login& login);
  void greet(Client& client, Login& login, Greeting greeting, std::optional<session::mysql::ClientSession>& session,
             std::string& out);
  // What was agreed on for everything behind it begins.
  void greeted(Client& client);
  void greet_tunnel(Client&, Server&, std::string&) {}
  void processed(Client& client);
  void releasing(Client&, Server&) {}
  void closed(Client& client);

  const std::string& schema() const { return schema_; }
  std::uint32_t connection_id() const { return connection_id_; }
  std::string application_name(const session::mysql::ClientSession*) const { return {}; }

 private:
  std::uint32_t connection_id_ = 0;
  Login* ungreeted_ = nullptr;
  bool asked_for_schema_ = false;
  std::optional<wire::mysql::Compression> compression_;
  std::string schema_;
  std::optional<session::mysql::ClientSession::Lasting> before_;  // it changed user
  std::string nonces_;  // of its last log-in: what it changes user by may be proved for them
};

}  // namespace dbproxy::worker::mysql
