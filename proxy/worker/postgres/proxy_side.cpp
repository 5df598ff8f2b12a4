#include "proxy/worker/postgres/proxy_side.hpp"

#include <algorithm>

#include "proxy/worker/pod_identity.hpp"
#include "proxy/worker/postgres/protocol.hpp"
#include "proxy/worker/proxy_runtime.hpp"

namespace dbproxy::worker::postgres {
namespace {

constexpr std::size_t kMaxGreetings = 1000;
constexpr std::size_t kMaxServerKeys = 1000;

std::string greeting_key(const PoolKey& key, config::TargetRole role) {
  return std::string(config::to_string(role)) + '\0' + key.text;
}

std::string start_key(const PoolKey& key, const session::postgres::Settings::Values& asked) {
  auto text = key.text + '\0';
  for (const auto& [name, value] : asked) text += '\0' + name + '\0' + value;
  return text;
}

}  // namespace

std::unique_ptr<session::postgres::ClientLogin> ProxySide::new_login(Proxy& proxy, bool unix_socket, int fd) {
  session::postgres::LoginPolicy policy;
  const auto& snapshot = proxy.snapshot();
  policy.tls_available = proxy.listener_tls() != nullptr;
  policy.require_tls = snapshot.require_tls;
  policy.client_cert = snapshot.client_cert.mode;
  policy.unix_socket = unix_socket;
  policy.pod_identity = pod_identity(snapshot, context_.options.own_user_only, unix_socket, fd);
  policy.too_many_clients = proxy.full();
  policy.deleted = proxy.deleted();
  policy.deleted_hint = kDeletedHint;
  policy.process_secret = context_.process_secret;
  policy.random = context_.random;
  policy.mock_clear_text = std::any_of(snapshot.users.begin(), snapshot.users.end(), [](const config::User& user) {
    return user.iam_auth != config::IamAuth::kDisabled;
  });
  // The snapshot may be exchanged while a client logs in: the credential found keeps its own alive.
  policy.find = [&proxy](std::string_view name) -> std::optional<session::postgres::Credential> {
    auto found = session::find_credential(proxy.snapshot_ptr(), name, proxy.context().loop.clock().wall());
    if (!found) return std::nullopt;
    const auto keys = std::static_pointer_cast<const UserKeys>(proxy.keys());
    const auto of_user = keys->find(std::string(name));
    if (of_user == keys->end()) return std::nullopt;
    session::postgres::Credential out{{std::move(*found)}, {}, {}};
    out.scram_keys = std::shared_ptr<const auth::ScramKeys>(keys, &of_user->second.current);
    if (of_user->second.previous.iterations > 0)
      out.other_scram_keys = std::shared_ptr<const auth::ScramKeys>(keys, &of_user->second.previous);
    return out;
  };
  return std::make_unique<session::postgres::ClientLogin>(std::move(policy));
}

const std::shared_ptr<Catalog>& ProxySide::catalog(const std::string& database) {
  auto& slot = catalogs_[database];
  if (!slot) slot = std::make_shared<Catalog>(name_, database, context_.options.catalog_age);
  return slot;
}

std::optional<session::postgres::SettingsPtr> ProxySide::greeting(const ClientSide& client, const Key& key,
                                                                  config::TargetRole role) const {
  auto it = greetings_.find(greeting_key(key, role));
  if (it == greetings_.end()) return std::nullopt;
  const auto& asked = client.asked_start();
  if (!asked.empty() && start_settings(key, asked) == nullptr) return std::nullopt;
  return it->second;
}

const session::postgres::Settings::Values* ProxySide::start_settings(
    const Key& key, const session::postgres::Settings::Values& asked) const {
  auto it = starts_.find(start_key(key, asked));
  return it == starts_.end() ? nullptr : &it->second;
}

void ProxySide::learn_start_settings(const Key& key, const session::postgres::Settings::Values& asked,
                                     session::postgres::Settings::Values values) {
  if (starts_.size() >= kMaxGreetings) starts_.clear();
  starts_[start_key(key, asked)] = std::move(values);
}

void ProxySide::learn_greeting(const Key& key, config::TargetRole role, session::postgres::SettingsPtr settings) {
  if (greetings_.size() >= kMaxGreetings) greetings_.clear();
  greetings_[greeting_key(key, role)] = std::move(settings);
}

void ProxySide::forget_greetings() {
  greetings_.clear();
  starts_.clear();
}

void ProxySide::forget_greeting(const Key& key) {
  greetings_.erase(greeting_key(key, config::TargetRole::kReadWrite));
  greetings_.erase(greeting_key(key, config::TargetRole::kReadOnly));
}

const auth::ScramKeys* ProxySide::server_keys(const std::string& user, const std::string& salt, int iterations) const {
  auto it = server_keys_.find(user + '\0' + std::to_string(iterations) + '\0' + salt);
  return it == server_keys_.end() ? nullptr : &it->second;
}

void ProxySide::keep_server_keys(const std::string& user, const auth::ScramKeys& keys) {
  if (server_keys_.size() >= kMaxServerKeys) server_keys_.clear();
  auto key = user + '\0' + std::to_string(keys.iterations) + '\0' + keys.salt;
  server_keys_[key] = keys;
}

void ProxySide::forget_user(const std::string& user) {
  std::erase_if(server_keys_, [&](const auto& item) { return item.first.starts_with(user + '\0'); });
}

void ProxySide::new_target() {
  for (const auto& [database, catalog] : catalogs_) catalog->expire();
}

void ProxySide::tick() {
  std::erase_if(catalogs_, [](const auto& item) { return item.second.use_count() == 1; });
}

}  // namespace dbproxy::worker::postgres
