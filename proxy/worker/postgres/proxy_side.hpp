// ProxySide: what one DBProxy of PostgreSQL keeps: greetings, SCRAM keys, catalogues. One thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "proxy/config/snapshot.hpp"
#include "proxy/session/postgres/client_login.hpp"
#include "proxy/worker/postgres/catalog.hpp"
#include "proxy/worker/postgres/client_side.hpp"

namespace dbproxy::worker::postgres {

class ProxySide {
 public:
  ProxySide(Context& context, std::string name) : context_(context), name_(std::move(name)) {}

  std::unique_ptr<session::postgres::ClientLogin> new_login(Proxy& proxy, bool unix_socket, int fd);
  const std::shared_ptr<Catalog>& catalog(const std::string& database);
  // What a client of this key is greeted with; none until a server connection has shown it.
  std::optional<session::postgres::SettingsPtr> greeting(const ClientSide& client, const Key& key,
                                                         config::TargetRole role) const;
  void learn_greeting(const Key& key, config::TargetRole role, session::postgres::SettingsPtr settings);
  void forget_greeting(const Key& key);
  // What sessions begin with has changed.
  void forget_greetings();
  // What a server made of settings that a start-up packet asks for; null: none was asked yet.
  const session::postgres::Settings::Values* start_settings(const Key& key,
                                                            const session::postgres::Settings::Values& asked) const;
  void learn_start_settings(const Key& key, const session::postgres::Settings::Values& asked,
                            session::postgres::Settings::Values values);
  // Derived keys for logging in to servers, kept because servers keep their salt.
  const auth::ScramKeys* server_keys(const std::string& user, const std::string& salt, int iterations) const;
  void keep_server_keys(const std::string& user, const auth::ScramKeys& keys);

  // Its password is another now, or it is gone.
  void forget_user(const std::string& user);
  void new_target();
  void tick();

 private:
  Context& context_;
  std::string name_;
  std::unordered_map<std::string, std::shared_ptr<Catalog>> catalogs_;
  std::unordered_map<std::string, session::postgres::SettingsPtr> greetings_;
  std::unordered_map<std::string, session::postgres::Settings::Values> starts_;
  std::unordered_map<std::string, auth::ScramKeys> server_keys_;
};

}  // namespace dbproxy::worker::postgres
