// ProxySide: what one DBProxy of MySQL keeps: what its servers greet with, and who has been let in by one. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "proxy/config/snapshot.hpp"
#include "proxy/session/mysql/client_login.hpp"
#include "proxy/wire/mysql/handshake.hpp"
#include "proxy/worker/mysql/catalog.hpp"
#include "proxy/worker/mysql/client_side.hpp"

namespace dbproxy::worker::mysql {

class ProxySide {
 public:
  ProxySide(Context& context, const std::string& name);
  ~ProxySide();
  ProxySide(const ProxySide&) = delete;
  ProxySide& operator=(const ProxySide&) = delete;

  // One that waits for a greeting: ClientSide::try_to_greet() makes the real one.
  std::unique_ptr<session::mysql::ClientLogin> new_login(Proxy& proxy, bool unix_socket, int fd);
  session::mysql::LoginPolicy login_policy(Proxy& proxy, bool unix_socket, int fd);
  // What clients are greeted with: the version and abilities of the server that they will talk to. None until a server
  // has shown it, by a connection or by the monitor's probe.
  std::optional<wire::mysql::Greeting> server_greeting(const Proxy& proxy) const;
  void learn_server_greeting(const wire::mysql::Greeting& greeting) { seen_ = greeting; }

  // A client like this has been let in by a server before; none: a server connection is to say so.
  std::optional<Greeting> greeting(const ClientSide& client, const Key& key, config::TargetRole role) const;
  void learn_greeting(const ClientSide& client, const Key& key);
  void forget_greetings() { known_.clear(); }
  // As this user sees it.
  const std::shared_ptr<Catalog>& catalog(const std::string& user);

  void forget_user(const std::string&) { known_.clear(); }
  void new_target();
  // Clients that came before any server had been seen are greeted when one has.
  void wait_for_greeting(Client& client);
  void stop_waiting(Client& client);
  void tick();

 private:
  Context& context_;
  std::optional<wire::mysql::Greeting> seen_;
  std::unordered_map<std::string, std::shared_ptr<Catalog>> catalogs_;
  std::unordered_set<std::string> known_;
  std::vector<Client*> ungreeted_;
};

}  // namespace dbproxy::worker::mysql
