// ClientSide: what a client of PostgreSQL has besides its session: a cancel key, and the name that it gave itself.
//
// A member of its ClientConnection, which calls it at the points that the functions are named after. One thread.
#pragma once

#include <optional>
#include <string>

#include "proxy/session/postgres/client_login.hpp"
#include "proxy/session/postgres/client_session.hpp"
#include "proxy/worker/postgres/shared.hpp"

namespace dbproxy::worker::postgres {

class ClientSide {
 public:
  using Login = session::postgres::ClientLogin;

  // The client speaks first.
  void started(Client&, Login&) {}
  // Of the log-in, what only PostgreSQL has: a cancel request.
  void wants(Client& client, Login& login, Login::Want want);
  std::shared_ptr<const Key> authenticated(Proxy& proxy, const Login& login);
  // Whether a server has to be asked what it makes of the settings that this client asks for at its start.
  Step before_greeting(Client& client, Login& login);
  void start_checked(Client& client, const session::postgres::ServerSession::Rows& rows);
  void greet(Client& client, const Login& login, session::postgres::SettingsPtr settings,
             std::optional<session::postgres::ClientSession>& session, std::string& out);
  // A replication connection: what the server has told is told once more.
  void greet_tunnel(Client& client, Server& server, std::string& out);
  // What it sent has been looked into.
  void processed(Client& client);
  void releasing(Client& client, Server&) { flush_notifications(client); }
  void closed(Client& client);

  const session::postgres::CancelKey& cancel_key() const { return cancel_key_; }
  // Until the greeting: settings of the start-up packet.
  const session::postgres::Settings::Values& asked_start() const { return asked_start_; }
  // As it is now.
  const std::string& application_name(const session::postgres::ClientSession* session) const;
  // What the server said of that which pins this client.
  static void probed(Client& client, const session::postgres::ServerSession::Rows& rows);
  // Its server has said something: what it listened to may be gone.
  void answered(Client& client);
  // It waits to hear that its transaction is over. True: it may; all that has been notified by then comes first. False:
  // that takes a while yet.
  bool settle_channels(Client& client, Server& server);
  // What the Listener tells it: see there.
  void listener_done(Client& client);
  void notified(Client& client, std::string_view message);
  void listener_lost(Client& client);
  // The server does not say what this client has set.
  static void settings_unread(Client& client, std::string_view why);

 private:
  session::postgres::SettingsPtr with_start(Client& client, session::postgres::SettingsPtr settings,
                                            session::postgres::Settings::Values& own);

  void stop_listening(Client& client);
  void flush_notifications(Client& client);

  Server* listener_ = nullptr;  // the server connection that listens for it
  // What it waits for while that is asked: nothing, to use a server connection, or to hear that it is done.
  enum class Waits : std::uint8_t { kNot, kToUse, kToHear, kMayHear } waits_ = Waits::kNot;
  std::string undelivered_;  // notifications, while it is in a transaction
  session::postgres::CancelKey cancel_key_;
  bool long_cancel_key_ = false;
  std::string application_name_;                     // at the start
  session::postgres::Settings::Values asked_start_;  // until the greeting: settings of its start-up packet
  wire::postgres::Parameters parameters_;            // the same as they came
  const Server* asked_ = nullptr;                    // what it makes of them
};

}  // namespace dbproxy::worker::postgres
